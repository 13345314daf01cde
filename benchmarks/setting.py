"""Where a benchmark measures: the model repository, the CPUs, our server, and the floors."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.load import Generator
from benchmarks.processes import BenchmarkError, ServerProcess, running
from benchmarks.rounds import BURST_SECONDS

MODEL: Final = ("mlp", "1")
FITTED: Final = Path("build/bench/models")
_OURS_READY: Final = r"gRPC on \S+:(\d+)"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, where, and for how long."""

    models: Path
    generator: Generator
    cpus: set[int]  # the server's
    rounds: int
    seconds: float

    @property
    def graph(self) -> Path:
        return self.models.joinpath(*MODEL, "model.onnx")


def setting_of(models: Path | None, rounds: int) -> Setting:
    """Where and how long to measure; fits a repository where none is given."""
    models = models or _fitted()
    cpus = sorted(os.sched_getaffinity(0))
    # The server has one CPU, as a pinned worker has; the load comes from the others.
    return Setting(models, Generator(set(cpus[:-1]) or None), {cpus[-1]}, rounds, BURST_SECONDS)


@contextmanager
def ours(
    setting: Setting,
    *flags: str,
    models: Path | None = None,
    cpus: set[int] | None = None,
    module: str = "server",
    environment: Mapping[str, str] | None = None,
) -> Iterator[ServerProcess]:
    """Our server on free ports, on one CPU of its own."""
    command = [sys.executable, "-m", module, "--models", str(models or setting.models), "-q"]
    command += ["--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--pin", "on", *flags]
    name = " ".join(["gurmukhi-serve", *flags])
    cpus = cpus or setting.cpus
    with running(name, command, _OURS_READY, cpus=cpus, environment=environment) as server:
        yield server


@contextmanager
def echo_floor(setting: Setting) -> Iterator[ServerProcess]:
    """The echo, on the CPU that our server has."""
    command = [sys.executable, "-m", "benchmarks.echo"]
    with running("echo", command, r"port (\d+)", cpus=setting.cpus) as server:
        yield server


@contextmanager
def envoy_floor(setting: Setting) -> Iterator[ServerProcess]:
    """The bare handler in Envoy, on the CPU that our server has."""
    command = [sys.executable, "-m", "benchmarks.envoy_floor", str(setting.graph.absolute())]
    with running("bare handler", command, r"port (\d+)", cpus=setting.cpus) as server:
        yield server


@contextmanager
def graph_floor(setting: Setting) -> Iterator["subprocess.Popen[str]"]:
    """onnxruntime without a server, on the CPU that our server has."""
    cpus = setting.cpus
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "benchmarks.graph", str(setting.graph)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    ) as process:
        if process.stdout is None or not process.stdout.readline():
            raise BenchmarkError("the graph alone did not start")
        yield process


def run_graph(process: "subprocess.Popen[str]", batch: int, seconds: float) -> tuple[float, float]:
    """Images a second, and CPU microseconds a run."""
    if process.stdin is None or process.stdout is None:
        raise BenchmarkError("the graph alone is not connected")
    process.stdin.write(f"{batch} {seconds}\n")
    process.stdin.flush()
    images, cpu = map(float, process.stdout.readline().split())
    return images, cpu


def _fitted() -> Path:
    if not FITTED.exists():
        print(f"fitting into {FITTED}, once", file=sys.stderr)  # noqa: T201
        command = [sys.executable, "-m", "trainer", "fit", "--data", "synthetic", "-q"]
        command += ["--parity-images", "200", "--models", str(FITTED)]
        subprocess.run(command, check=True)  # noqa: S603 - our own command
    return FITTED
