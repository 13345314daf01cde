"""Time our SVM graphs beside skl2onnx's `SVMClassifier`: `make bench-models`.

Both forms of one machine take turns, round by round, so that whatever else the computer does hits
both; each figure is the median of the rounds. skl2onnx's graph gets float32 numbers, scaled or
blurred beforehand; ours raw bytes, and sees to that itself.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.svm_export import plain_graph
from gurmukhi.command import Parser, add_data_flag, run, whole_number
from gurmukhi.sources import find_source
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.terminal import format_table
from trainer.graph import finish_graph
from trainer.model import SVMModel
from trainer.parity import open_session
from trainer.recipes import RECIPES, Recipe, searched_recipes
from trainer.selection import committed_selection
from trainer.svm import see

_SEED: Final = 5  # images of its own: no model is fitted or checked on them
_LABELS: Final = 2000  # images on which labels are compared
_BATCHES: Final = (1, 32)
_TURN: Final = 5  # calls that are counted, one after the other
# How many times as fast ours is to be, by the size of the batch and the kernel.
_GOALS: Final = {
    (1, "linear"): 5.0,
    (1, "poly"): 5.0,
    (1, "rbf"): 5.0,
    (1, "sigmoid"): 5.0,
    (32, "linear"): 4.0,
    (32, "poly"): 4.0,
    (32, "rbf"): 25.0,
    (32, "sigmoid"): 2.5,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One machine at one size of batch."""

    model: str
    support_vectors: int
    batch: int
    ours_microseconds: float
    theirs_microseconds: float
    ratio: float
    goal: float
    ours_kilobytes: int
    theirs_kilobytes: int
    ours_differ: int  # labels of 2,000 that are not SVC.predict's
    theirs_differ: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser("benchmarks.models", __doc__.splitlines()[0], ("make bench-models",))
    add_data_flag(parser)
    parser.add_argument(
        "--rounds", type=whole_number(3), default=20, help="of each (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument(
        "--check", action="store_true", help="end with exit code 1 where a goal is missed"
    )
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    source = find_source(arguments.data)
    train = source.split("train")
    figures: list[Figure] = []
    recipes = [*RECIPES, *searched_recipes(committed_selection())]
    for recipe in sorted(recipes, key=lambda one: (one.name, one.version)):
        if recipe.name == "mlp":  # it has no SVMClassifier
            continue
        if not arguments.quiet:
            print(f"fitting {recipe.name}/{recipe.version}", file=sys.stderr)  # noqa: T201
        model = recipe.fit(train, 0, lambda word: None)
        if not isinstance(model, SVMModel):
            raise TypeError(f"{recipe.name} is no SVM")
        figures += _compare(recipe, model, arguments.rounds)
    print(f"data: {source.kind}, {len(train)} to train; medians of {arguments.rounds} rounds")  # noqa: T201
    print(format_table(_HEADER, [_row(figure) for figure in figures]))  # noqa: T201
    if arguments.json:
        record = [asdict(figure) for figure in figures]
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    missed = any(figure.ratio < figure.goal for figure in figures)
    return 1 if missed and arguments.check else 0


def _compare(recipe: Recipe, model: SVMModel, rounds: int) -> list[Figure]:
    fitted, machine = model.fitted, model.fitted.machine
    graph, plain = finish_graph(model.export()), plain_graph(machine)
    ours, theirs = open_session(graph), open_session(plain)
    images, _ = synthetic_digits(_LABELS, _SEED)
    native = fitted.predict(images)

    def run_ours(images: NDArray[np.uint8]) -> Any:
        return ours.run(["digit"], {"pixels": images})[0]

    def run_theirs(pixels: NDArray[np.float32]) -> Any:
        return theirs.run(None, {"pixels": pixels})[0]

    pixels = see(images, fitted.view).astype(np.float32)
    figures = []
    for batch in _BATCHES:
        mine, other = _time_in_turns(
            partial(_everything, ours, images[:batch]),
            partial(_everything, theirs, pixels[:batch]),
            rounds,
        )
        figures.append(
            Figure(
                model=f"{recipe.name}/{recipe.version}",
                support_vectors=len(fitted.vectors),
                batch=batch,
                ours_microseconds=mine * 1e6,
                theirs_microseconds=other * 1e6,
                ratio=other / mine,
                goal=_GOALS[batch, machine.kernel],
                ours_kilobytes=round(len(graph) / 1000),
                theirs_kilobytes=round(len(plain) / 1000),
                ours_differ=int((run_ours(images) != native).sum()),
                theirs_differ=int((run_theirs(pixels) != native).sum()),
            )
        )
    return figures


def _everything(session: onnxruntime.InferenceSession, pixels: NDArray[Any]) -> None:
    session.run(None, {"pixels": pixels})


def _time_in_turns(
    one: Callable[[], None], other: Callable[[], None], rounds: int
) -> tuple[float, float]:
    """The median seconds of each; in every round a few calls of the one, then of the other.

    The first call of a turn finds the other's data in the processor's caches, and is not counted.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, spent in zip((one, other), seconds, strict=True):
            call()
            for _ in range(_TURN):
                started = time.perf_counter()
                call()
                spent.append(time.perf_counter() - started)
    return float(np.median(seconds[0])), float(np.median(seconds[1]))


_HEADER: Final = (
    "model",
    "vectors",
    "batch",
    "ours µs",
    "SVMClassifier µs",
    "ratio",
    "goal",
    "",
    "ours kB",
    "theirs kB",
    "ours ≠ SVC",
    "theirs ≠ SVC",
)


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.model,
        str(figure.support_vectors),
        str(figure.batch),
        f"{figure.ours_microseconds:.0f}",
        f"{figure.theirs_microseconds:.0f}",
        f"{figure.ratio:.1f}",
        f"{figure.goal:g}",
        "reached" if figure.ratio >= figure.goal else "missed",
        str(figure.ours_kilobytes),
        str(figure.theirs_kilobytes),
        str(figure.ours_differ),
        str(figure.theirs_differ),
    )


if __name__ == "__main__":
    sys.exit(main())
