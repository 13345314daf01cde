"""Our server beside what a user would take instead: `make bench`.

Two models, a table each: the MLP, whose one ONNX file all serve, and the published RBF machine, of
which the peers serve skl2onnx's export. All get UINT8 pixels by Open Inference v2 and the same load
in turns; ours are asked over DigitService too. Ours, by either front, has one pinned process; the
peers are as they come, on every CPU. Each peer is installed into an environment of its own, once;
one that cannot be installed or started is named and left out. Some are measured when they are asked
for alone: without a protocol of their own they get JSON.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import questions
from benchmarks.load import SHAPES, Burst, median
from benchmarks.more_peers import MORE_PEERS
from benchmarks.page import Page
from benchmarks.peers import PEERS, Peer, install, running_peer, version_of
from benchmarks.processes import BenchmarkError
from benchmarks.report import Ratio
from benchmarks.rounds import Work, interleave, ratio
from benchmarks.setting import MODEL, Setting, echo_floor, envoy_floor, ours, setting_of
from benchmarks.svm_export import served_graph
from gurmukhi.command import Parser, complain, run, whole_number
from gurmukhi.sources import find_source
from trainer.model import SVMModel
from trainer.recipes import RECIPES

_FOLDER: Final = Path("build/bench/peers")
_RESULTS: Final = Path("benchmarks/results")
_SVM: Final = ("svm-rbf", "1")
_OURS: Final = ("gurmukhi", "gurmukhi, Classify")
_ENVOY: Final = ("gurmukhi, envoy", "gurmukhi, envoy, Classify")
_ECHO: Final = "echo"
_BARE: Final = "bare handler in Envoy"
# Requests a second of the grpcio front to a peer's, by what is in flight.
_GOALS: Final = {
    ("kserve", 8): 3.0,
    ("mlserver", 8): 3.0,
    ("triton", 8): 0.7,
    ("triton", 64): 0.6,
    **{(_ECHO, shape.in_flight): 0.7 for shape in SHAPES},
}
_GOAL_P50: Final = 0.75  # of Triton's, with one caller
_GOAL_ENVOY: Final = 1.15  # requests a second to Triton's, whatever is in flight
_GOAL_SVM: Final = 1.0  # ahead of every peer


@dataclass(slots=True)
class Comparison:
    """One model: who serves it, and what came of the bursts."""

    title: str
    model: tuple[str, str]
    peers_graph: Path
    work: dict[str, Work] = field(default_factory=dict)
    bursts: dict[int, dict[str, list[Burst]]] = field(default_factory=dict)

    @property
    def medians(self) -> dict[int, dict[str, Burst]]:
        """The median burst of each server, by what is in flight."""
        return {
            count: {name: median(found) for name, found in of_all.items()}
            for count, of_all in self.bursts.items()
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    examples = ("make bench", "python -m benchmarks.bench --peer litserve --results build/bench")
    parser = Parser("benchmarks.bench", __doc__.splitlines()[0], examples)
    parser.add_argument("--models", type=Path, help="a model repository (default: fits)")
    parser.add_argument("--rounds", type=whole_number(1, 1000), default=9)
    parser.add_argument(
        "--peer",
        choices=[peer.name for peer in (*PEERS, *MORE_PEERS)],
        action="append",
        help=f"this one alone (default: {', '.join(peer.name for peer in PEERS)})",
    )
    parser.add_argument("--results", type=Path, default=_RESULTS, help="default: %(default)s")
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    setting = setting_of(arguments.models, arguments.rounds)
    chosen = [
        peer
        for peer in (*PEERS, *MORE_PEERS)
        if peer.name in (arguments.peer or [one.name for one in PEERS])
    ]
    mlp = Comparison("MLP, the same graph for all", MODEL, setting.graph)
    svm = Comparison("RBF machine, the peers with skl2onnx's export", _SVM, _exported(setting))
    page = Page()
    with ExitStack() as stack:
        servers = {
            _OURS: stack.enter_context(ours(setting)),
            _ENVOY: stack.enter_context(ours(setting, "--front", "envoy")),
        }
        floor = stack.enter_context(echo_floor(setting))
        for comparison in (mlp, svm):
            graph = setting.models.joinpath(*comparison.model, "model.onnx")
            for (infer, classify), server in servers.items():
                of = (server, graph, *comparison.model)
                comparison.work[infer] = (server, questions.model_infer(*of))
                comparison.work[classify] = (server, questions.classify(*of))
        bare = stack.enter_context(envoy_floor(setting))
        mlp.work[_BARE] = (bare, questions.model_infer(bare, setting.graph, MODEL[0], ""))
        question = mlp.work[_OURS[0]][1]
        mlp.work[_ECHO] = (floor, questions.echoed(floor, question))
        for comparison, judge in ((mlp, _judge_mlp), (svm, _judge_svm)):
            with ExitStack() as peers:
                for peer in chosen:
                    try:
                        _join(peers, peer, comparison, page.versions)
                    except BenchmarkError as error:
                        complain("benchmarks.bench", f"{error}; it is left out")
                _measure(comparison, setting)
                if comparison is mlp:
                    page.note_sizes({name: server for name, (server, _) in mlp.work.items()})
            page.add(comparison.title, comparison.medians, judge(comparison))
    print(page.write(arguments.results))  # noqa: T201
    return 0


def _exported(setting: Setting) -> Path:
    """skl2onnx's export of the machine, fitted as the repository's own is."""
    recipe = next(one for one in RECIPES if (one.name, str(one.version)) == _SVM)
    model = recipe.fit(find_source("synthetic").split("train"), 0, lambda word: None)
    if not isinstance(model, SVMModel):
        raise TypeError(f"{recipe.name} is no SVM")
    path = _FOLDER / "svm-rbf.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(served_graph(model.fitted.machine))
    return path


def _join(stack: ExitStack, peer: Peer, comparison: Comparison, versions: dict[str, str]) -> None:
    environment = install(peer, _FOLDER)
    graph = comparison.peers_graph
    server = stack.enter_context(running_peer(peer, environment, _FOLDER, graph))
    versions[peer.package] = version_of(peer, environment)
    comparison.work[peer.name] = (server, peer.ask(server, graph))


def _measure(comparison: Comparison, setting: Setting) -> None:
    for shape in SHAPES:
        comparison.bursts[shape.in_flight] = interleave(
            setting.generator, comparison.work, shape, rounds=setting.rounds
        )


def _judge_mlp(comparison: Comparison) -> list[Ratio]:
    ratios = []
    for count, bursts in comparison.bursts.items():
        for peer in _others(bursts):
            rate = partial(_rate, bursts, count, peer)
            ratios.append(rate(_OURS[0], _GOALS.get((peer, count), 0.0)))
            is_triton = peer == "triton"
            ratios += [rate(name, _GOAL_ENVOY if is_triton else 0.0) for name in _ENVOY]
            if is_triton:
                ratios += _judge_cost(bursts, count)
    return sorted(ratios, key=lambda one: one.goal == 0.0)  # what is held against a goal first


def _judge_cost(bursts: dict[str, list[Burst]], count: int) -> list[Ratio]:
    """What is told of waiting and of the processor beside Triton."""
    triton = bursts["triton"]
    if count == 1:
        wait = ratio(bursts[_OURS[0]], triton, "p50_microseconds")
        return [Ratio("p50 at 1, to triton", wait, _GOAL_P50, at_most=True)]
    if count == SHAPES[-1].in_flight:
        cost = ratio(bursts[_ENVOY[0]], triton, "cpu_microseconds")
        return [Ratio(f"{_ENVOY[0]}: CPU at {count}, to triton", cost, 1.0, at_most=True)]
    return []


def _judge_svm(comparison: Comparison) -> list[Ratio]:
    return [
        _rate(bursts, count, peer, name, _GOAL_SVM)
        for count, bursts in comparison.bursts.items()
        for peer in _others(bursts)
        for name in (_OURS[0], _ENVOY[0])
    ]


def _others(bursts: dict[str, list[Burst]]) -> list[str]:
    return [name for name in bursts if name not in (*_OURS, *_ENVOY)]


def _rate(bursts: dict[str, list[Burst]], count: int, peer: str, name: str, goal: float) -> Ratio:
    rate = ratio(bursts[name], bursts[peer], "requests_per_second")
    return Ratio(f"{name}: requests/s at {count}, to {peer}", rate, goal)


if __name__ == "__main__":
    sys.exit(main())
