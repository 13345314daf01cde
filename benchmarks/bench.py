"""Our server beside what a user would take instead: `make bench`.

All serve the same ONNX file, UINT8 pixels by Open Inference v2, and get the same load in turns.
Ours, by either front, has one pinned process; the peers are as they come, on every CPU. Each peer
is installed into an environment of its own, once; one that cannot be installed or started is named
and left out.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import questions
from benchmarks.load import SHAPES, Burst, median
from benchmarks.peers import PEERS, Peer, install, running_peer, version_of
from benchmarks.processes import BenchmarkError, ServerProcess
from benchmarks.quick import MODEL, Setting, echo_floor, ours, setting_of
from benchmarks.report import Ratio, Report, table_of_bursts
from benchmarks.rounds import Work, interleave, ratio
from gurmukhi.command import Parser, complain, run, whole_number

_FOLDER: Final = Path("build/bench/peers")
_RESULTS: Final = Path("benchmarks/results")
_OURS: Final = "gurmukhi"
_ENVOY: Final = "gurmukhi, envoy"
_ECHO: Final = "echo"
# Requests a second, ours to a peer's, by what is in flight.
_GOALS: Final = {
    ("kserve", 8): 3.0,
    ("mlserver", 8): 3.0,
    ("triton", 8): 0.7,
    ("triton", 64): 0.6,
}
_GOAL_P50: Final = 0.75  # of Triton's, with one caller
_GOAL_ENVOY: Final = 1.15  # requests a second to Triton's, whatever is in flight


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser("benchmarks.bench", __doc__.splitlines()[0], ("make bench",))
    parser.add_argument("--models", type=Path, help="a model repository")
    parser.add_argument("--rounds", type=whole_number(1, 1000), default=9)
    parser.add_argument(
        "--peer", choices=[peer.name for peer in PEERS], action="append", help="this one alone"
    )
    parser.add_argument("--results", type=Path, default=_RESULTS, help="default: %(default)s")
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    setting = setting_of(arguments.models, arguments.rounds)
    chosen = [
        peer for peer in PEERS if peer.name in (arguments.peer or [one.name for one in PEERS])
    ]
    report = Report()
    medians: dict[int, dict[str, Burst]] = {}
    with ExitStack() as stack:
        server, floor = stack.enter_context(ours(setting)), stack.enter_context(echo_floor(setting))
        envoy = stack.enter_context(ours(setting, "--front", "envoy"))
        question = questions.model_infer(server, setting.graph, *MODEL)
        work: dict[str, Work] = {
            _OURS: (server, question),
            _ENVOY: (envoy, questions.model_infer(envoy, setting.graph, *MODEL)),
            _ECHO: (floor, questions.echoed(floor, question)),
        }
        versions: dict[str, str] = {}
        for peer in chosen:
            try:
                work[peer.name] = _join(stack, peer, setting, versions)
            except BenchmarkError as error:
                complain("benchmarks.bench", f"{error}; it is left out")
        for shape in SHAPES:
            bursts = interleave(setting.generator, work, shape, rounds=setting.rounds)
            medians[shape.in_flight] = {name: median(found) for name, found in bursts.items()}
            _judge(report, shape.in_flight, bursts)
        memory = {name: sum(one.resident_megabytes()) for name, (one, _) in work.items()}
        ready = {name: one.ready_seconds for name, (one, _) in work.items()}
    report.figures = {
        "peers": versions,
        "resident MB": memory,
        "seconds to ready": ready,
        **{
            f"at {count}": {name: asdict(one) for name, one in found.items()}
            for count, found in medians.items()
        },
    }
    _write(arguments.results, report, medians, versions, memory, ready)
    return 0


def _join(stack: ExitStack, peer: Peer, setting: Setting, versions: dict[str, str]) -> Work:
    environment = install(peer, _FOLDER)
    server: ServerProcess = stack.enter_context(
        running_peer(peer, environment, _FOLDER, setting.graph)
    )
    question = questions.model_infer(server, setting.graph, MODEL[0], "")
    versions[peer.package] = version_of(peer, environment)
    return server, question


def _judge(report: Report, count: int, bursts: dict[str, list[Burst]]) -> None:
    for name, found in bursts.items():
        if name in (_OURS, _ENVOY):
            continue
        rate = ratio(bursts[_OURS], found, "requests_per_second")
        goal = _GOALS.get((name, count), 0.7 if name == _ECHO else 0.0)
        report.ratios.append(Ratio(f"requests/s at {count}, to {name}", rate, goal))
        if (name, count) == ("triton", 1):
            wait = ratio(bursts[_OURS], found, "p50_microseconds")
            report.ratios.append(Ratio("p50 at 1, to triton", wait, _GOAL_P50, at_most=True))
        goal = _GOAL_ENVOY if name == "triton" else 0.0
        rate = ratio(bursts[_ENVOY], found, "requests_per_second")
        report.ratios.append(Ratio(f"envoy: requests/s at {count}, to {name}", rate, goal))
        if (name, count) == ("triton", 64):
            cost = ratio(bursts[_ENVOY], found, "cpu_microseconds")
            report.ratios.append(Ratio("envoy: CPU at 64, to triton", cost, 1.0, at_most=True))


def _write(
    folder: Path,
    report: Report,
    medians: dict[int, dict[str, Burst]],
    versions: dict[str, str],
    memory: dict[str, float],
    ready: dict[str, float],
) -> None:
    date = datetime.now(UTC).date().isoformat()
    report.write(folder / f"{date}.json")
    bursts = table_of_bursts(
        [(name, count, one) for count, found in medians.items() for name, one in found.items()]
    )
    lines = [
        f"# {date}",
        "",
        ", ".join(f"{name} {version}" for name, version in versions.items()) or "no peers",
        "",
        "```",
        bursts,
        "",
        report.table(),
        "",
        *(f"{name}: {memory[name]:.0f} MB, ready after {ready[name]:.1f} s" for name in memory),
        "```",
        "",
        f"![CPU of a request]({date}.svg)",
        "",
    ]
    text = "\n".join(lines)
    (folder / f"{date}.md").write_text(text, encoding="utf-8")
    _plot(folder / f"{date}.svg", medians)
    print(f"{text}\nwritten to {folder}/{date}.*")  # noqa: T201


def _plot(path: Path, medians: dict[int, dict[str, Burst]]) -> None:
    """CPU of a request by server, a bar for each number in flight."""
    mpl.rcParams["svg.hashsalt"] = "gurmukhi"  # the same figures give the same file
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes: Any = figure.subplots()
    names = list(next(iter(medians.values())))
    width = 0.8 / len(medians)
    for place, (count, found) in enumerate(medians.items()):
        heights = [found[name].cpu_microseconds for name in names]
        positions = [index + place * width for index in range(len(names))]
        axes.bar(positions, heights, width, label=f"{count} in flight")
    axes.set_xticks([index + 0.4 - width / 2 for index in range(len(names))], names)
    axes.set_ylabel("server CPU, µs a request")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
