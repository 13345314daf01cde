"""Where a request's CPU goes, by library: `python -m benchmarks.libraries`, with Linux's perf.

The shares of samples that perf takes of the serving process while it answers, times the CPU a
request without perf, which slows threads that wake one another; beside it the same of the floor of
its front: the echo, or the bare handler in Envoy.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import questions
from benchmarks.load import SHAPES, Question, Shape, median
from benchmarks.perf import ELSE, read_shares, require_perf
from benchmarks.processes import BenchmarkError, ServerProcess
from benchmarks.rounds import ROUNDS, interleave
from benchmarks.setting import MODEL, Setting, echo_floor, envoy_floor, ours, setting_of
from gurmukhi.command import Parser, run, whole_number
from gurmukhi.terminal import format_table

_SECONDS: Final = 3.0
_SAMPLES_A_SECOND: Final = 1500
_BEGIN_SECONDS: Final = 0.3  # until perf samples
# What a file's name says of the library.
_LIBRARIES: Final = {
    "Python's interpreter": r"^libpython|^python",
    "onnxruntime": r"^onnxruntime",
    "grpcio's core": r"^cygrpc",
    "Envoy": r"^envoy",
    "pyvoy": r"^\S*pyvoy",
    "the event loop (uvloop)": r"^loop\.",
    "the kernel": r"^\[kernel|^\[guest",
    "the C library": r"^libc\.|^libpthread|^ld-linux",
    "protobuf": r"^_message\.",
    "NumPy": r"^_multiarray_umath",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    command = "python -m benchmarks.libraries --front envoy"
    parser = Parser("benchmarks.libraries", __doc__.splitlines()[0], (command,))
    parser.add_argument("--models", type=Path, help="a model repository")
    parser.add_argument("--front", choices=("grpcio", "envoy"), default="grpcio")
    parser.add_argument("--batch", type=whole_number(1, 1000), default=1, help="images a request")
    parser.add_argument("--rounds", type=whole_number(1, 1000), default=ROUNDS)
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    require_perf()
    setting = setting_of(arguments.models, arguments.rounds)
    is_envoy = arguments.front == "envoy"
    with (
        ours(setting, "--front", arguments.front) as server,
        (envoy_floor if is_envoy else echo_floor)(setting) as floor,
    ):
        asked = questions.model_infer(server, setting.graph, *MODEL, arguments.batch)
        # The bare handler is asked as we are; the echo is asked for the bytes that we are sent.
        floor_asked = (
            questions.model_infer(floor, setting.graph, *MODEL, arguments.batch)
            if is_envoy
            else questions.echoed(floor, asked)
        )
        work = {server.name: (server, asked), floor.name: (floor, floor_asked)}
        columns = {}
        for shape in SHAPES:
            bursts = interleave(setting.generator, work, shape, rounds=setting.rounds)
            for name, one in work.items():
                cost = median(bursts[name]).cpu_microseconds
                shares = _by_library(setting, *one, shape)
                columns[f"{name}, {shape.in_flight}"] = {
                    k: cost * share for k, share in shares.items()
                }
    print(_table(columns))  # noqa: T201
    return 0


def _by_library(
    setting: Setting, server: ServerProcess, question: Question, shape: Shape
) -> Mapping[str, float]:
    """The share of each library in the CPU that answers to one burst take."""
    requests = setting.generator.sized(server, question, shape, _SECONDS)
    with tempfile.TemporaryDirectory(prefix="perf-") as folder:
        file = Path(folder, "perf.data")
        with _sampled(server.serving_pid, file):
            setting.generator.burst(server, question, shape, requests)
        return read_shares(file, _LIBRARIES)


@contextmanager
def _sampled(pid: int, file: Path) -> Iterator[None]:
    command = ["perf", "record", "-q", "-F", str(_SAMPLES_A_SECOND), "-p", str(pid)]
    with subprocess.Popen([*command, "-o", str(file)], stderr=subprocess.PIPE, text=True) as perf:  # noqa: S603
        time.sleep(_BEGIN_SECONDS)
        if perf.poll() is not None and perf.stderr:
            raise BenchmarkError(f"perf does not sample: {' '.join(perf.stderr.read().split())}")
        try:
            yield
        finally:
            perf.send_signal(signal.SIGINT)


def _table(columns: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        (name, *(f"{column.get(name, 0.0):.0f}" for column in columns.values()))
        for name in (*_LIBRARIES, ELSE)
        if any(column.get(name, 0.0) >= 1 for column in columns.values())
    ]
    rows.append(("all", *(f"{sum(column.values()):.0f}" for column in columns.values())))
    return format_table(("in, with so many in flight", *columns), rows)


if __name__ == "__main__":
    sys.exit(main())
