"""What dynamic batching in the server would bring: `python -m benchmarks.batching`.

Our server beside itself with a predictor that merges concurrent calls (`batching_server.py`), the
same single images, 64 in flight on 8 connections, round by round.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks import questions
from benchmarks.load import Shape, median
from benchmarks.report import Ratio, Report, table_of_bursts
from benchmarks.rounds import interleave, ratio
from benchmarks.setting import MODEL, ours, setting_of
from gurmukhi.command import Parser, run, whole_number

_SHAPE: Final = Shape(8, 8)
_PLAIN: Final = "as it is"
# A thread for each call that may wait for its batch; name -> what the batcher waits for more.
_BATCHING: Final = {"batching": "0", "batching, 200 µs": "0.0002"}
_MODULE: Final = "benchmarks.batching_server"
_RESULT: Final = Path("build/bench/batching.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser(
        "benchmarks.batching", __doc__.splitlines()[0], ("python -m benchmarks.batching",)
    )
    parser.add_argument("--models", type=Path, help="a model repository")
    parser.add_argument("--model", choices=["mlp", "svm-rbf"], default=MODEL[0])
    parser.add_argument("--rounds", type=whole_number(1, 1000), default=9)
    parser.add_argument("--json", type=Path, default=_RESULT, help="default: %(default)s")
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    setting = setting_of(arguments.models, arguments.rounds)
    model, version = arguments.model, MODEL[1]
    graph = setting.models / model / version / "model.onnx"
    report = Report()
    with ExitStack() as stack:
        servers = {_PLAIN: stack.enter_context(ours(setting))}
        for name, delay in _BATCHING.items():
            batching = ours(
                setting,
                *("--threads", str(_SHAPE.in_flight)),
                module=_MODULE,
                environment={"MICROBATCH_SECONDS": delay},
            )
            servers[name] = stack.enter_context(batching)
        work = {
            name: (server, questions.model_infer(server, graph, model, version))
            for name, server in servers.items()
        }
        bursts = interleave(setting.generator, work, _SHAPE, rounds=setting.rounds)
    medians = {name: median(found) for name, found in bursts.items()}
    rows = [(name, _SHAPE.in_flight, one) for name, one in medians.items()]
    print(table_of_bursts(rows))  # noqa: T201
    for name in _BATCHING:
        rate = ratio(bursts[name], bursts[_PLAIN], "requests_per_second")
        cost = ratio(bursts[name], bursts[_PLAIN], "cpu_microseconds")
        report.ratios += [
            Ratio(f"{name}: requests/s to none", rate, 1.0),
            Ratio(f"{name}: CPU a request to none", cost, 1.0, at_most=True),
        ]
    report.figures = {name: asdict(one) for name, one in medians.items()}
    report.write(arguments.json)
    print(f"\n{report.table()}\n\nwritten to {arguments.json}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
