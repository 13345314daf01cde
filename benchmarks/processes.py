"""Start a server, wait until it is ready, and read what it costs: CPU time, memory, start."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gurmukhi.errors import GurmukhiError

_STOP_SECONDS: Final = 20.0


class BenchmarkError(GurmukhiError):
    """A measurement could not be made, or answers were not what they should be."""


class ServerProcess:
    """A server that has said that it is ready, with all the processes that it started."""

    def __init__(
        self, name: str, process: "subprocess.Popen[str]", port: int, ready: float
    ) -> None:
        self.name = name
        self.process = process
        self.port = port
        self.ready_seconds = ready

    @property
    def cpus(self) -> set[int]:
        """Where its serving threads may run."""
        return os.sched_getaffinity(self.serving_pid)

    @property
    def serving_pid(self) -> int:
        """The process that serves: the one that has taken most CPU."""
        return max(_tree(self.process.pid), key=_cpu_seconds)

    def cpu_seconds(self) -> float:
        """CPU time of the whole process tree since it began."""
        return sum(_cpu_seconds(pid) for pid in _tree(self.process.pid))

    def resident_megabytes(self) -> list[float]:
        """Resident memory of each process of the tree, the parent first."""
        return [_resident_megabytes(pid) for pid in _tree(self.process.pid)]


def free_port() -> int:
    """A port that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    ready: str,
    *,
    cpus: set[int] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 60.0,
) -> Iterator[ServerProcess]:
    """Run a server until the end of the block; `ready` finds its port in the line that says so."""
    started = time.perf_counter()
    with _started(command, cpus, environment, None) as process:
        timer = threading.Timer(timeout_seconds, process.kill)
        timer.start()
        port = _await_line(process, ready)
        timer.cancel()
        if port is None:
            raise BenchmarkError(f"{name} did not become ready in {timeout_seconds:g} s")
        yield ServerProcess(name, process, port, time.perf_counter() - started)


@contextmanager
def answering(
    name: str,
    command: Sequence[str],
    port: int,
    is_ready: Callable[[int], bool],
    *,
    environment: Mapping[str, str] | None = None,
    log: Path,
    timeout_seconds: float = 120.0,
) -> Iterator[ServerProcess]:
    """Run a server until the end of the block; it is asked on its port whether it is ready."""
    started = time.perf_counter()
    with _started(command, None, environment, log) as process:
        while not is_ready(port):
            if process.poll() is not None or time.perf_counter() - started > timeout_seconds:
                raise BenchmarkError(f"{name} did not become ready; see {log}")
            time.sleep(0.05)
        yield ServerProcess(name, process, port, time.perf_counter() - started)


@contextmanager
def _started(
    command: Sequence[str],
    cpus: set[int] | None,
    environment: Mapping[str, str] | None,
    log: Path | None,
) -> Iterator["subprocess.Popen[str]"]:
    """A process in a session of its own, which ends with the block; with a log all goes there."""
    with (log or Path(os.devnull)).open("w") as file:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            stdout=file if log else subprocess.PIPE,
            stderr=file if log else None,
            text=True,
            env={**os.environ, **(environment or {})},
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _stop(process)


def _await_line(process: "subprocess.Popen[str]", ready: str) -> int | None:
    if process.stdout is None:
        raise BenchmarkError("the server's output is not read")
    for line in process.stdout:
        if found := re.search(ready, line):
            # What follows is read and dropped, so that the server never waits for a reader.
            threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
            return int(found[1])
    return None


def _drain(stream: Iterator[str]) -> None:
    for _ in stream:
        pass


def _stop(process: "subprocess.Popen[str]") -> None:
    """End the server and whatever it has left behind in its session."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _tree(root: int) -> list[int]:
    """A process and its descendants."""
    pids = [root]
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                pids += [int(child) for child in task.read_text().split()]
            except OSError:  # it has ended meanwhile
                continue
    return pids


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process, threads that have ended included, by the kernel's own clock of it."""
    # clock_getcpuclockid(3): the clock of process N is numbered (~N << 3) | 2.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0
