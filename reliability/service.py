"""A server process under trial: started as a user would, and watched from outside."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_READY: Final = re.compile(r"gRPC on (\S+):(\d+), HTTP on \S+:(\d+)")
_STOP_SECONDS: Final = 30.0
_PAGE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Service:
    """A `gurmukhi-serve` that has said that it is ready."""

    process: subprocess.Popen[str]
    port: int
    http_port: int
    log_path: Path
    host: str = "127.0.0.1"

    @property
    def target(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self.log_path.read_text(encoding="utf-8", errors="backslashreplace")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def resident_bytes(self) -> int:
        """Resident memory of it and its workers."""
        return sum(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
            for pid in self.pids()
        )

    def threads(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in self.pids())

    def descriptors(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids())

    def pids(self) -> list[int]:
        """Its own, then its workers'."""
        return [self.pid, *self.workers()]

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [
            int(pid)
            for pid in children
            if re.search(b"spawn_main|/envoy", Path(f"/proc/{pid}/cmdline").read_bytes())
        ]

    def metrics(self) -> dict[str, float]:
        """Each sample of `/metrics` by its name and labels, as they are written."""
        samples = {}
        for line in self.page("/metrics").splitlines():
            if line and not line.startswith("#"):
                key, _, value = line.rpartition(" ")
                samples[key] = float(value)
        return samples

    def page(self, path: str, timeout_seconds: float = 10.0) -> str:
        url = f"http://{self.host}:{self.http_port}{path}"
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:
            return str(answer.read().decode())


@contextmanager
def serving(
    models: Path,
    *flags: str,
    prefix: Sequence[str] = (),
    host: str = "127.0.0.1",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Start a server on free ports, and stop it at the end.

    `prefix` are the words of a command that runs another, such as `prlimit --nofile=64`.
    """
    command = [*prefix, sys.executable, "-m", "server", "--models", str(models), "--host", host]
    ports = [] if "--port" in flags else ["--port", "0"]
    with tempfile.TemporaryDirectory(prefix="gurmukhi-trial-") as folder:
        log_path = Path(folder) / "server.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [*command, *ports, "--metrics-port", "0", *flags],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            ready = process.stdout.readline()
            found = _READY.search(ready)
            if not found:
                said = log_path.read_text(encoding="utf-8", errors="backslashreplace")
                raise RuntimeError(f"the server did not become ready: {said[-500:]}")
            yield Service(process, int(found[2]), int(found[3]), log_path, host)
        finally:
            stop(process)
            process.stdout.close()


def stop(process: subprocess.Popen[str]) -> None:
    """End a process: politely first."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def unprivileged() -> tuple[str, ...]:
    """The words before a command by which a file's permissions count for it, even for root."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return ()
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for something to hold, and return how long it took; raises TimeoutError."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return time.monotonic() - started
