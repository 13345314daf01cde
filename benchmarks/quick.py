"""Our server beside its floors, without peers: `make bench-quick`, under 3 minutes.

The floors are a bare grpcio echo of the same bytes on the same CPU, and onnxruntime without a
server. Servers take turns round by round; a ratio is the median of the rounds' ratios. Without
`--models` it fits a repository of ten versions on synthetic digits first, once.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks import questions
from benchmarks.load import SHAPES, Question, Shape, median
from benchmarks.processes import ServerProcess
from benchmarks.report import Ratio, Report, table_of_bursts
from benchmarks.rounds import ROUNDS, interleave, ratio
from benchmarks.setting import (
    FITTED,
    MODEL,
    Setting,
    echo_floor,
    graph_floor,
    ours,
    run_graph,
    setting_of,
)
from gurmukhi.command import Parser, run, whole_number

_RESULT: Final = Path("build/bench/quick.json")
_STARTS: Final = 5
_MANY: Final = Shape(1000)
# Twelve for each connection: making one costs about two, and a caller's lasts longer.
_REQUESTS_TO_MANY: Final = 12_000
# Batches are sent by eight callers, and there are answers to so many at a time.
_BATCHES: Final = {32: 0.5, 256: 0.7}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser("benchmarks.quick", __doc__.splitlines()[0], ("make bench-quick",))
    parser.add_argument("--models", type=Path, help=f"a model repository (default: {FITTED})")
    parser.add_argument(
        "--only", choices=list(_PARTS), action="append", help="this part alone; may be repeated"
    )
    parser.add_argument("--rounds", type=whole_number(1, 1000), default=ROUNDS)
    parser.add_argument("--json", type=Path, default=_RESULT, help="default: %(default)s")
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    _allow_many_files()
    setting = setting_of(arguments.models, arguments.rounds)
    report = Report()
    for part in arguments.only or _PARTS:
        started = time.perf_counter()
        _PARTS[part](setting, report)
        report.write(arguments.json)  # what was measured stays, whatever comes next
        if not arguments.quiet:
            print(f"{part}: {time.perf_counter() - started:.0f} s", file=sys.stderr)  # noqa: T201
    print(f"\n{report.table()}\n\nwritten to {arguments.json}")  # noqa: T201
    return 0


def _measure_requests(setting: Setting, report: Report) -> None:
    """One image: either API beside the echo of the same bytes."""
    with ours(setting) as server, echo_floor(setting) as floor:
        infer = questions.model_infer(server, setting.graph, *MODEL)
        work = {
            "ModelInfer": (server, infer),
            "Classify": (server, questions.classify(server, setting.graph, *MODEL)),
            "echo": (floor, questions.echoed(floor, infer)),
        }
        rows = []
        for shape in SHAPES:
            count = shape.in_flight
            bursts = interleave(
                setting.generator, work, shape, rounds=setting.rounds, seconds=setting.seconds
            )
            medians = {name: median(found) for name, found in bursts.items()}
            rows += [(name, count, one) for name, one in medians.items()]
            report.figures[f"requests at {count}"] = {k: asdict(v) for k, v in medians.items()}
            for name in ("ModelInfer", "Classify"):
                rate = ratio(bursts[name], bursts["echo"], "requests_per_second")
                report.ratios.append(Ratio(f"{name} at {count}: requests/s to echo", rate, 0.7))
                cost = ratio(bursts[name], bursts["echo"], "cpu_microseconds")
                report.ratios.append(
                    # The same goal said of the CPU, which noise disturbs least.
                    Ratio(f"{name} at {count}: CPU to echo", cost, 1 / 0.7, at_most=True)
                )
            cost = ratio(bursts["Classify"], bursts["ModelInfer"], "cpu_microseconds")
            report.ratios.append(
                Ratio(f"Classify at {count}: CPU to ModelInfer", cost, 1.0, at_most=True)
            )
        print(table_of_bursts(rows))  # noqa: T201
        _measure_half_rate(setting, report, server, infer)


def _measure_half_rate(
    setting: Setting, report: Report, server: ServerProcess, question: Question
) -> None:
    shape = Shape(8)
    full = setting.generator.burst(
        server, question, shape, setting.generator.sized(server, question, shape, 1.0)
    )
    rate = full.requests_per_second / 2
    bursts = [
        setting.generator.burst(server, question, shape, int(rate), rate=rate)
        for _ in range(setting.rounds)
    ]
    spread = statistics.median(one.p99_microseconds / one.p50_microseconds for one in bursts)
    report.ratios.append(Ratio("p99 to p50 at half the rate", spread, 5.0, at_most=True))


def _measure_workers(setting: Setting, report: Report) -> None:
    """Two workers beside one: CPU a request."""
    every = set(os.sched_getaffinity(0))
    with (
        ours(setting) as one,
        ours(setting, "--workers", "2", "--pin", "on", cpus=every) as two,
    ):
        work = {
            server.name: (server, questions.model_infer(server, setting.graph, *MODEL))
            for server in (one, two)
        }
        bursts = interleave(setting.generator, work, Shape(64), rounds=setting.rounds)
        cost = ratio(bursts[two.name], bursts[one.name], "cpu_microseconds")
        report.ratios.append(Ratio("two workers at 64: CPU to one's", cost, 1.15, at_most=True))
        report.figures["resident MB with two workers"] = two.resident_megabytes()


def _measure_batches(setting: Setting, report: Report) -> None:
    """Batches over gRPC beside the graph alone, on the same CPU, and the echo of the same bytes.

    What the echo and the graph take together is what a server that did nothing else would take.
    """
    with ours(setting) as server, echo_floor(setting) as floor, graph_floor(setting) as alone:
        for batch, goal in _BATCHES.items():
            question = questions.model_infer(server, setting.graph, *MODEL, batch)
            work = {
                "server": (server, question),
                "echo": (floor, questions.echoed(floor, question)),
            }
            requests = {
                name: setting.generator.sized(*one, Shape(8), setting.seconds)
                for name, one in work.items()
            }
            rates, costs, floors = [], [], []
            for _ in range(setting.rounds):
                mine, echo = (
                    setting.generator.burst(*one, Shape(8), requests[name])
                    for name, one in work.items()
                )
                images, cpu = run_graph(alone, batch, setting.seconds)
                rates.append(mine.requests_per_second * batch / images)
                costs.append(cpu / mine.cpu_microseconds)
                floors.append(cpu / (cpu + echo.cpu_microseconds))
            report.figures[f"batch {batch}"] = {
                "server: images/s": mine.requests_per_second * batch,
                "graph alone: images/s": images,
                "server: CPU µs a request": mine.cpu_microseconds,
                "echo: CPU µs a request": echo.cpu_microseconds,
                "graph alone: CPU µs a run": cpu,
            }
            rate, cost, floor_cost = map(statistics.median, (rates, costs, floors))
            name = f"batch {batch}:"
            report.ratios += [
                Ratio(f"{name} images/s to the graph alone", rate, goal),
                Ratio(f"{name} images a CPU second to the graph alone", cost, goal),
                # No goal of ours: what a server would reach that did nothing but echo and run it.
                Ratio(f"{name} the same of echo and graph together", floor_cost, 0.0),
            ]


def _measure_start(setting: Setting, report: Report) -> None:
    """From start to ready, memory, and the import of the client."""
    ready, memory = [], 0.0
    for _ in range(_STARTS):
        with ours(setting) as server:
            ready.append(server.ready_seconds)
            memory = max(server.resident_megabytes())
    count = len(list(setting.models.glob("*/*/manifest.json")))
    # The fastest start: it only ever gets slower by what else the machine does.
    report.ratios += [
        Ratio(f"ready with {count} versions", min(ready), 1.0, at_most=True, unit=" s"),
        Ratio(f"resident with {count} versions", memory, 115.0, at_most=True, unit=" MB"),
        Ratio("import gurmukhi.client", _import_seconds(), 0.3, at_most=True, unit=" s"),
    ]


def _measure_scale(setting: Setting, report: Report) -> None:
    """Many versions beside one, and many connections beside eight."""
    with tempfile.TemporaryDirectory(prefix="one-version-") as folder:
        shutil.copytree(setting.models.joinpath(*MODEL), Path(folder).joinpath(*MODEL))
        with (
            ours(setting, "--queue", str(2 * _MANY.connections)) as many,
            ours(setting, models=Path(folder)) as single,
        ):
            asked = {
                "many": (many, questions.model_infer(many, setting.graph, *MODEL)),
                "one": (single, questions.model_infer(single, setting.graph, *MODEL)),
            }
            bursts = interleave(setting.generator, asked, Shape(8), rounds=setting.rounds)
            cost = ratio(bursts["many"], bursts["one"], "cpu_microseconds")
            name = "CPU a request with all versions to one version's"
            report.ratios.append(Ratio(name, cost, 1.1, at_most=True))
            costs = []
            for _ in range(setting.rounds):
                few, lots = (
                    setting.generator.burst(*asked["many"], shape, _REQUESTS_TO_MANY)
                    for shape in (Shape(8), _MANY)
                )
                costs.append(lots.cpu_microseconds / few.cpu_microseconds)
            name = f"CPU a request with {_MANY.connections} connections to 8's"
            report.ratios.append(Ratio(name, statistics.median(costs), 1.3, at_most=True))


_PARTS: Final[dict[str, Callable[[Setting, Report], None]]] = {
    "requests": _measure_requests,
    "workers": _measure_workers,
    "batches": _measure_batches,
    "start": _measure_start,
    "scale": _measure_scale,
}


def _import_seconds() -> float:
    code = "import time; t = time.perf_counter(); import gurmukhi.client; "
    code += "print(time.perf_counter() - t)"
    runs = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
        for _ in range(_STARTS)
    )
    return min(float(done.stdout) for done in runs)


def _allow_many_files() -> None:
    """A thousand connections are a thousand files to the server and to the generator."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
