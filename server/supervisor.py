"""Keep several serving processes on one port: start them, replace those that die, end them."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from prometheus_client import multiprocess

from gurmukhi.errors import GurmukhiError
from server.config import ServerConfig
from server.control import ModelControl
from server.envoy_process import EnvoyProcess
from server.envoy_secrets import Secrets
from server.errors import ServiceError
from server.worker import Process, WorkerReplica, run_worker

# A worker that dies at once is not started in a tight loop.
_RESTART_SECONDS: Final = 0.5
# How much longer than its drain a worker may take to end.
_END_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class WorkerError(GurmukhiError):
    """A worker could not be started."""


class Supervisor:
    """The parent of the workers; it serves no calls itself."""

    def __init__(self, config: ServerConfig, port: int, metrics_folder: str) -> None:
        self._config = config
        self._port = port
        self._metrics_folder = metrics_folder
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[WorkerReplica] = []
        self._secrets = (
            Secrets(config.tls, Path(metrics_folder))
            if config.tls and config.front == "envoy"
            else None
        )
        self.control: ModelControl | None = None

    @property
    def replicas(self) -> list[WorkerReplica]:
        """The workers that run."""
        return list(self._workers)

    def metrics_socket(self) -> Path | None:
        """Where a lone worker offers its metrics, while there is one."""
        for worker in self._workers:
            if isinstance(worker.process, EnvoyProcess):
                return worker.process.metrics
        return None

    def is_ready(self) -> bool:
        """Whether any worker answers."""
        return any(one.is_serving and one.process.is_alive() for one in self._workers)

    def spawn(self, count: int) -> list[WorkerReplica]:
        """Start workers that have no models yet."""
        return [self._spawn(place) for place in range(count)]

    def start(self) -> None:
        """Have all workers answer; raises WorkerError where one has died."""
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            if not worker.process.is_alive():
                raise WorkerError(
                    f"a worker ended with exit code {worker.process.exitcode} before it served"
                )

    def watch(self, seconds: float) -> None:
        """Wait so long for a worker to die, and start another in its place."""
        if self._secrets:
            self._secrets.refresh()
        dead = wait([worker.process.sentinel for worker in self._workers], timeout=seconds)
        for worker in self.replicas:
            if worker.process.sentinel in dead:
                self._replace(worker)

    def stop(self) -> None:
        """Drain all workers at the same time; one that does not end is killed."""
        for worker in self._workers:
            worker.drain()
        limit = self._config.pause_seconds + self._config.drain_seconds + _END_SECONDS
        until = time.monotonic() + limit
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                _log.error("worker %d did not end and is killed", worker.process.pid)
                worker.process.kill()
                worker.process.join()

    def _replace(self, worker: WorkerReplica) -> None:
        process = worker.process
        process.join()
        _log.error(
            "worker %d died with exit code %s: another starts", process.pid, process.exitcode
        )
        self._workers.remove(worker)
        if not self._config.has_lone_envoy:
            multiprocess.mark_process_dead(process.pid, self._metrics_folder)
        time.sleep(_RESTART_SECONDS)
        fresh = self._spawn(worker.place)
        assert self.control  # noqa: S101 - set before the first worker can die
        self.control.bring(fresh)
        fresh.start()

    def _spawn(self, place: int) -> WorkerReplica:
        commands, worker_commands = self._context.Pipe()
        requests, worker_requests = self._context.Pipe()
        shared = nullcontext() if self._config.has_lone_envoy else _metrics_in(self._metrics_folder)
        with shared:
            process = self._start(place, worker_commands, worker_requests)
        worker_commands.close()
        worker_requests.close()
        threading.Thread(target=self._answer, args=(requests,), daemon=True).start()
        if isinstance(process, EnvoyProcess):
            with suppress(OSError):  # it has died already, as who waits for it finds out
                commands.send(process.orders)
        worker = WorkerReplica(process, commands, place)
        self._workers.append(worker)
        return worker

    def _start(self, place: int, commands: Connection, requests: Connection) -> Process:
        config, port = self._config, self._port
        if config.front == "envoy":
            pipes = (commands, requests)
            return EnvoyProcess(config, port, place, pipes, self._metrics_folder, self._secrets)
        process = self._context.Process(
            target=run_worker, args=(config, port, place, commands, requests), daemon=True
        )
        with _deaf():
            process.start()
        return process

    def _answer(self, requests: Connection) -> None:
        """Carry out what a worker's callers ask of model control, until the worker ends."""
        while True:
            try:
                call, arguments = requests.recv()
                requests.send(self._carry_out(call, arguments))
            except (EOFError, OSError):
                return

    def _carry_out(self, call: str, arguments: tuple[str, ...]) -> Any:
        try:
            return getattr(self.control, call)(*arguments)
        except ServiceError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a bug of ours ends this call, and no later one
            _log.exception("model control failed")
            return RuntimeError(f"model control failed ({type(error).__name__})")


@contextmanager
def _metrics_in(folder: str) -> Iterator[None]:
    """Have processes that are started inside share their metrics through a folder."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]


@contextmanager
def _deaf() -> Iterator[None]:
    """Have processes that are started inside hear no signal that reaches a whole group.

    The parent alone decides. A worker says so itself, but only when its modules are imported.
    """
    resource_tracker.ensure_running()  # else it is begun inside, and unblocks them
    blocked = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
