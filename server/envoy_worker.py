"""A worker inside Envoy: the ASGI application that Envoy loads, and the parent's commands.

Envoy begins to listen when the application says that its lifespan has begun, which it does when
the parent says `start`: no call comes before there are models.
"""

import asyncio
import http.client
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, disable_created_metrics

from server.cpus import pin
from server.envoy_calls import Event, Receive, Send
from server.envoy_front import EnvoyFront, EnvoyFrontConfig
from server.envoy_process import PIPES_VARIABLE, WorkerOrders
from server.logs import start_logs
from server.loop_watch import LoopWatch
from server.process import ServingProcess
from server.worker import RemoteControl, obey
from server.worker_metrics import describe_process, offer_metrics

_LISTEN_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.01

_log = logging.getLogger(__name__)


class Administration:
    """Envoy's own, over its socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def await_port(self, seconds: float) -> None:
        """Wait until it listens; raises TimeoutError."""
        until = time.monotonic() + seconds
        while not self._is_listening():
            if time.monotonic() > until:
                raise TimeoutError(f"Envoy has not begun to listen in {seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def drain(self) -> None:
        """Have it take no connection any more, and ask the callers of open ones to connect anew."""
        for path in ("/healthcheck/fail", "/drain_listeners?graceful&skip_exit"):
            self._ask("POST", path)

    def _is_listening(self) -> bool:
        try:
            return bool(json.loads(self._ask("GET", "/listeners?format=json"))["listener_statuses"])
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return False

    def _ask(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection("envoy", timeout=_LISTEN_SECONDS)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.connect(str(self._path))
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()


class Application:
    """What Envoy calls: once for its lifespan, and for each request."""

    def __init__(self) -> None:
        self._front: EnvoyFront | None = None

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._front:  # there before Envoy listens
            await self._front(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Wait for the parent before the start, and for nobody at the end."""
        await receive()
        loop, may_start = asyncio.get_running_loop(), asyncio.Event()
        worker = threading.Thread(
            target=self._work,
            args=(lambda: loop.call_soon_threadsafe(may_start.set),),
            name="commands",
            daemon=True,
        )
        worker.start()
        LoopWatch(loop, lambda: os._exit(1)).start()
        await may_start.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _work(self, let_start: Callable[[], object]) -> None:
        """Do what the parent says, drain, and end the process."""
        numbers = map(int, os.environ[PIPES_VARIABLE].split(","))
        commands, requests = (Connection(number) for number in numbers)
        try:
            self._obey(commands, requests, let_start)
            os.kill(os.getpid(), signal.SIGTERM)  # Envoy's own way to end
        except Exception:  # noqa: BLE001 - the parent starts another
            _log.exception("a worker cannot go on")
            os._exit(1)

    def _obey(
        self, commands: Connection, requests: Connection, let_start: Callable[[], object]
    ) -> None:
        orders: WorkerOrders = commands.recv()
        config = orders.config
        start_logs(config.log_format)
        disable_created_metrics()  # a series for each series, which nobody reads
        logging.getLogger("server").setLevel(config.log_level)
        pin(config.pin, os.getppid() + orders.place, config.workers)
        administration = Administration(orders.admin)

        def open_port() -> None:
            let_start()
            administration.await_port(_LISTEN_SECONDS)

        front = EnvoyFrontConfig(
            config.max_message_bytes, config.compression, config.cors_origins, config.page
        )
        registry = CollectorRegistry()
        process = ServingProcess(
            config,
            registry,
            RemoteControl(requests),
            lambda parts: EnvoyFront(front, parts, open_port, administration.drain),
        )
        if orders.metrics:
            describe_process(registry)
            offer_metrics(registry, orders.metrics)
        self._front = process.front
        obey(commands, process)
        process.drain(config.pause_seconds, config.drain_seconds)


app = Application()
