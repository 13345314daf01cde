"""The evaluator's replay beside the graph alone: `python -m benchmarks.replay`.

It reads 10,000 synthetic digits in calls of 256 images, and the graph runs in a process without a
server on the same CPU. They take turns; the ratio is the median of the rounds' ratios.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.processes import BenchmarkError, ServerProcess
from benchmarks.report import Ratio, Report
from benchmarks.setting import MODEL, Setting, graph_floor, ours, run_graph, setting_of
from gurmukhi.command import Parser, run, whole_number

_IMAGES: Final = 10_000
_BATCH: Final = 256
_GOAL: Final = 0.6
_RESULT: Final = Path("build/bench/replay.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser("benchmarks.replay", __doc__.splitlines()[0], ("python -m benchmarks.replay",))
    parser.add_argument("--models", type=Path, help="a model repository")
    parser.add_argument("--rounds", type=whole_number(1, 1000), default=5)
    parser.add_argument("--json", type=Path, default=_RESULT, help="default: %(default)s")
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    setting = setting_of(arguments.models, arguments.rounds)
    report = Report()
    rates = []
    with ours(setting) as server, graph_floor(setting) as alone:
        for _ in range(setting.rounds):
            images, _cpu = run_graph(alone, _BATCH, setting.seconds)
            rates.append(_replay(setting, server) / images)
    what = f"replay in calls of {_BATCH}: images/s to the graph alone"
    report.ratios.append(Ratio(what, statistics.median(rates), _GOAL))
    report.write(arguments.json)
    print(f"{report.table()}\n\nwritten to {arguments.json}")  # noqa: T201
    return 0


def _replay(setting: Setting, server: ServerProcess) -> float:
    """Images a second, as the evaluator counts them: of its calls alone, not of drawing digits."""
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        command = [sys.executable, "-m", "evaluator", "--target", f"127.0.0.1:{server.port}", "-q"]
        command += ["--models", str(setting.models), "--model", ":".join(MODEL)]
        command += ["--data", f"synthetic:{_IMAGES}", "--batch", str(_BATCH), "--report", folder]
        cpus = setting.generator.cpus  # the server keeps its own for itself
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            capture_output=True,
            text=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
        )
        if done.returncode:
            raise BenchmarkError(f"the evaluator ended with {done.returncode}: {done.stdout}")
        record = json.loads((Path(folder) / "report.json").read_text("utf-8"))
    (said,) = (one["sentence"] for one in record["checks"] if one["check"] == "accuracy")
    found = re.search(r"([\d,]+) images/s", said)
    if found is None:
        raise BenchmarkError(f"the evaluator says no rate: {said}")
    return float(found[1].replace(",", ""))


if __name__ == "__main__":
    sys.exit(main())
