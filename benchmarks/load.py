"""Load from h2load, the native generator of nghttp2: gRPC-framed bodies or JSON, counted and timed.

h2load does not look at `grpc-status`. So each server is asked once by a client whose answer is
held against the graph, and the bytes that h2load counts must be that answer's, times the requests.
"""

import os
import re
import shutil
import statistics
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.processes import BenchmarkError, ServerProcess

_GRPC: Final = ("--header=content-type: application/grpc", "--header=te: trailers")
_JSON: Final = ("--h1", "--header=content-type: application/json")
_TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Shape:
    """How many connections, and how many requests under way on each."""

    connections: int
    streams: int = 1

    @property
    def in_flight(self) -> int:
        return self.connections * self.streams


# One caller; eight callers; eight callers with eight calls each.
SHAPES: Final = (Shape(1), Shape(8), Shape(8, 8))


@dataclass(frozen=True, slots=True)
class Question:
    """A request, where it goes, and how long its answer is; None where answers differ in length."""

    path: str
    body: bytes
    reply_bytes: int | None
    is_json: bool = False  # over HTTP/1.1, else gRPC's

    @property
    def framed(self) -> bytes:
        """What is sent."""
        return self.body if self.is_json else struct.pack(">?I", False, len(self.body)) + self.body


@dataclass(frozen=True, slots=True)
class Burst:
    """What one burst of load met."""

    requests: int
    requests_per_second: float
    cpu_microseconds: float  # of the server's process tree, a request
    p50_microseconds: float
    p99_microseconds: float


class Generator:
    """Sends bursts from CPUs of its own, where there are any beside the server's."""

    def __init__(self, cpus: set[int] | None = None) -> None:
        program = shutil.which("h2load")
        if program is None:
            raise BenchmarkError("h2load is not there; install nghttp2-client (apt-get)")
        self._program = program
        self.cpus = cpus

    def burst(
        self,
        server: ServerProcess,
        question: Question,
        shape: Shape,
        requests: int,
        *,
        rate: float | None = None,
    ) -> Burst:
        """Send so many requests, at a rate or as fast as answers come."""
        with tempfile.TemporaryDirectory(prefix="burst-") as folder:
            body, log = Path(folder, "body"), Path(folder, "log")
            body.write_bytes(question.framed)
            if question.is_json:  # HTTP/1.1 has one request under way on a connection
                shape = Shape(shape.in_flight)
            command = [self._program, f"--clients={shape.connections}", f"--data={body}"]
            command += [f"--max-concurrent-streams={shape.streams}", f"--requests={requests}"]
            command += [f"--log-file={log}", *(_JSON if question.is_json else _GRPC)]
            if rate is not None:
                command.append(f"--rps={max(1, round(rate / shape.connections))}")
            before = server.cpu_seconds()
            report = self._run([*command, f"http://127.0.0.1:{server.port}{question.path}"])
            spent = server.cpu_seconds() - before
            microseconds = [int(line.split("\t")[2]) for line in log.read_text().splitlines()]
        _check(server, question, report, requests)
        seconds = _seconds(_find(r"finished in ([\d.]+)(us|ms|s)", report))
        p50, p99 = np.percentile(microseconds, [50, 99])
        return Burst(requests, requests / seconds, spent / requests * 1e6, float(p50), float(p99))

    def sized(self, server: ServerProcess, question: Question, shape: Shape, seconds: float) -> int:
        """How many requests fill so many seconds; warms the server up."""
        least = max(40, 2 * shape.in_flight)
        burst = self.burst(server, question, shape, least)
        burst = self.burst(server, question, shape, max(least, int(burst.requests_per_second / 5)))
        return max(least, int(burst.requests_per_second * seconds))

    def _run(self, command: Sequence[str]) -> str:
        cpus = self.cpus
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
        )
        if done.returncode:
            raise BenchmarkError(f"h2load ended with {done.returncode}: {done.stderr[-200:]}")
        return done.stdout


def median(bursts: Sequence[Burst]) -> Burst:
    """The median of each figure."""
    return Burst(
        sum(one.requests for one in bursts),
        *(
            statistics.median(getattr(one, name) for one in bursts)
            for name in list(Burst.__dataclass_fields__)[1:]
        ),
    )


def _check(server: ServerProcess, question: Question, report: str, requests: int) -> None:
    succeeded = int(_find(r"(\d+) succeeded", report)[0])
    data = int(_find(r"\((\d+)\) data", report)[0])
    if succeeded != requests:
        raise BenchmarkError(f"{server.name} answered {succeeded} of {requests} requests")
    if question.reply_bytes is None:
        return
    frame = 0 if question.is_json else 5  # bytes
    expected = requests * (frame + question.reply_bytes)
    if data != expected:
        raise BenchmarkError(
            f"{server.name} sent {data} bytes for {requests} answers; expected {expected}"
        )


def _find(pattern: str, report: str) -> tuple[str, ...]:
    found = re.search(pattern, report)
    if found is None:
        raise BenchmarkError(f"h2load said nothing of {pattern!r}: {report[-200:]}")
    return found.groups()


def _seconds(figure: tuple[str, ...]) -> float:
    return float(figure[0]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[figure[1]]
