"""Serve until told to stop: alone, or with workers."""

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, multiprocess

from gurmukhi.command import EXIT_INTERRUPTED
from server.config import ServerConfig
from server.control import ModelControl
from server.cpus import pin
from server.grpc_front import FrontConfig, GrpcFront, join_address, reserved_port
from server.http import HttpServer
from server.memory import settle
from server.policy import Key
from server.process import ServingProcess
from server.supervisor import Supervisor
from server.worker import Process
from server.worker_metrics import WorkerCollector, describe_process

# How soon a dead worker is noticed at the latest; its sentinel wakes the parent before.
_WATCH_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class StopSignal:
    """SIGTERM and SIGINT: the first one asks for a drain, the second one ends at once.

    A handler of Python's runs in the main thread, and not at all where its signal came just before
    that thread began to wait on a lock. So the number of the signal is written to a pipe, which
    the interpreter does the moment that it comes, and a thread reads it there.
    """

    def __init__(self) -> None:
        self.scratch: str | None = None  # a folder that is removed even where the end is at once
        self.children: Callable[[], Iterable[Process]] = list  # that are ended then
        self._first: int | None = None
        self._event = threading.Event()
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)
        threading.Thread(target=self._listen, args=(reader,), name="signals", daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the first signal; whether it has come."""
        return self._event.wait(seconds)

    @property
    def exit_code(self) -> int:
        """0 after SIGTERM, 130 after SIGINT."""
        return EXIT_INTERRUPTED if self._first == signal.SIGINT else 0

    def _listen(self, reader: int) -> None:
        self._first = os.read(reader, 1)[0]
        self._event.set()
        second = os.read(reader, 1)[0]
        for child in self.children():
            child.kill()
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)
        os._exit(128 + second)


def serve_alone(config: ServerConfig, stop: StopSignal) -> int:
    """Serve from this process; returns the exit code."""
    # By the process's number, so that several servers of one machine spread.
    pin(config.pin, os.getpid(), 1)
    registry = CollectorRegistry()
    describe_process(registry)
    control = ModelControl(
        config.models,
        config.version_policy,
        config.model_control,
        lambda: [process.replica],
        _load_counter(registry),
    )
    front = FrontConfig.of(config, config.port, shares_port=False)
    process = ServingProcess(config, registry, control, lambda parts: GrpcFront(front, parts))
    control.start(config.default_model)
    if stop.wait(0):  # while the models were loaded
        _log.info("stopped")
        return stop.exit_code
    http = HttpServer(config.host, config.metrics_port, registry, process.is_ready)
    http.start()
    process.start()
    _announce(config, process.front.port, http.port, control)
    pause = config.poll_seconds if config.model_control == "poll" else None
    while not stop.wait(pause):
        control.poll()
    _log.info("draining")
    process.drain(config.pause_seconds, config.drain_seconds)
    http.stop()
    _log.info("stopped")
    return stop.exit_code


def serve_with_workers(config: ServerConfig, stop: StopSignal) -> int:
    """Serve from several processes on one port; returns the exit code."""
    with (
        reserved_port(config.host, config.port) as port,
        tempfile.TemporaryDirectory(prefix="gurmukhi-metrics-") as folder,
    ):
        stop.scratch = folder
        registry = CollectorRegistry()
        supervisor = Supervisor(config, port, folder)
        if config.has_lone_envoy:
            registry.register(WorkerCollector(supervisor.metrics_socket))
        else:
            multiprocess.MultiProcessCollector(registry, path=folder)
        stop.children = lambda: [worker.process for worker in supervisor.replicas]
        control = supervisor.control = ModelControl(
            config.models,
            config.version_policy,
            config.model_control,
            lambda: supervisor.replicas,
            _load_counter(registry),
        )
        ready = threading.Event()
        http = HttpServer(
            config.host,
            config.metrics_port,
            registry,
            lambda: ready.is_set() and supervisor.is_ready() and bool(control.wanted),
        )
        try:
            supervisor.spawn(config.workers)
            control.start(config.default_model)
            if not stop.wait(0):  # it may have come while the models were loaded
                supervisor.start()
                http.start()
                ready.set()
                _announce(config, port, http.port, control)
                settle()
                _supervise(config, stop, supervisor, control)
                _log.info("draining")
                ready.clear()
        finally:
            supervisor.stop()
        http.stop()
        _log.info("stopped")
        return stop.exit_code


def _supervise(
    config: ServerConfig, stop: StopSignal, supervisor: Supervisor, control: ModelControl
) -> None:
    """Replace workers that die, and look for new models, until told to stop."""
    next_poll = time.monotonic() + config.poll_seconds
    while not stop.wait(0):
        supervisor.watch(_WATCH_SECONDS)
        if config.model_control == "poll" and time.monotonic() >= next_poll:
            control.poll()
            next_poll = time.monotonic() + config.poll_seconds


def _load_counter(registry: CollectorRegistry) -> Callable[[Key, bool], None]:
    loads = Counter(
        "gurmukhi_model_loads",
        "Attempts to load a version, by outcome.",
        ("model", "version", "outcome"),
        registry=registry,
    )

    def count(key: Key, loaded: bool) -> None:
        loads.labels(*key, "loaded" if loaded else "failed").inc()

    return count


def _announce(config: ServerConfig, port: int, http_port: int, control: ModelControl) -> None:
    print(  # noqa: T201
        f"ready: gRPC on {join_address(config.host, port)}, "
        f"HTTP on {join_address(config.host, http_port)}, "
        f"{len(control.wanted)} model versions",
        flush=True,
    )
