"""One of several serving processes on a port, and the parent's end of it."""

import gc
import logging
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry

from server.config import ServerConfig
from server.control import IndexEntry
from server.cpus import pin
from server.grpc_front import FrontConfig, GrpcFront
from server.logs import start_logs
from server.policy import Candidate, Key
from server.process import ServingProcess
from server.replica import Failures

_GONE: Final = (EOFError, OSError)

_log = logging.getLogger(__name__)


class Process(Protocol):
    """A process that is waited for and ended, as `multiprocessing.Process` is."""

    @property
    def pid(self) -> int | None: ...
    @property
    def sentinel(self) -> int: ...
    @property
    def exitcode(self) -> int | None: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...
    def kill(self) -> None: ...


class WorkerReplica:
    """A worker's models, as its parent sees them; one that has died loads nothing."""

    def __init__(self, process: Process, commands: Connection, place: int) -> None:
        self.process = process
        self.place = place  # among the workers; one that replaces it takes the same CPU
        self._commands = commands
        self._lock = threading.Lock()
        self._served: dict[Key, Candidate] = {}
        self.is_serving = False

    def prepare(self, wanted: Mapping[Key, Candidate]) -> Failures:
        failures = self._ask("prepare", dict(wanted))
        if failures is None:  # no version that ends a worker is to reach the next one
            new = [key for key, candidate in wanted.items() if self._served.get(key) != candidate]
            return {key: f"{'/'.join(key)}: a worker died while it was loaded" for key in new}
        return dict(failures)

    def commit(self, wanted: Mapping[Key, Candidate], failures: Failures) -> None:
        self._ask("commit", dict(wanted), failures)
        self._served = {key: one for key, one in wanted.items() if key not in failures}

    def start(self) -> None:
        """Have it answer."""
        self.is_serving = self._ask("start") is True

    def drain(self) -> None:
        """Have it finish what is under way and end; returns at once."""
        try:
            self._commands.send(("drain", ()))
        except _GONE:
            _log.debug("a worker was gone before the drain")

    def _ask(self, command: str, *arguments: Any) -> Any:
        with self._lock:
            try:
                self._commands.send((command, arguments))
                return self._commands.recv()
            except _GONE:  # it has died; the supervisor starts another
                return None


class RemoteControl:
    """Model control as a worker's services see it: asked of the parent."""

    def __init__(self, requests: Connection) -> None:
        self._requests = requests
        self._lock = threading.Lock()

    def index(self) -> Sequence[IndexEntry]:
        """As ModelControl.index."""
        entries: Sequence[IndexEntry] = self._ask("index")
        return entries

    def load(self, name: str) -> None:
        """As ModelControl.load."""
        self._ask("load", name)

    def unload(self, name: str) -> None:
        """As ModelControl.unload."""
        self._ask("unload", name)

    def _ask(self, call: str, *arguments: str) -> Any:
        with self._lock:
            self._requests.send((call, arguments))
            answer = self._requests.recv()
        if isinstance(answer, Exception):  # a ServiceError, or a RuntimeError of a bug of ours
            raise answer
        return answer


def run_worker(
    config: ServerConfig, port: int, place: int, commands: Connection, requests: Connection
) -> None:
    """Serve until told to drain, or until the parent is gone."""
    gc.disable()  # as in the parent, until the models are there
    # A terminal's Ctrl-C reaches the whole group: the parent alone decides.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    start_logs(config.log_format)
    logging.getLogger("server").setLevel(config.log_level)
    pin(config.pin, os.getppid() + place, config.workers)
    front = FrontConfig.of(config, port, shares_port=True)
    process = ServingProcess(
        config,
        CollectorRegistry(),
        RemoteControl(requests),
        lambda parts: GrpcFront(front, parts),
    )
    obey(commands, process)
    process.drain(config.pause_seconds, config.drain_seconds)


def obey(commands: Connection, process: ServingProcess[Any]) -> None:
    """Do what the parent says, until it says that it is time to drain, or is gone."""
    while True:
        try:
            command, arguments = commands.recv()
        except _GONE:
            return
        if command == "drain":
            return
        if command == "prepare":
            commands.send(process.replica.prepare(*arguments))
        elif command == "commit":
            process.replica.commit(*arguments)
            commands.send(None)
        elif command == "start":
            process.start()
            commands.send(True)
