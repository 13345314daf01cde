"""The command `gurmukhi-train fit`: data → models → graphs → bundles."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from gurmukhi.audit import Leakage, measure_leakage
from gurmukhi.bundle import (
    CARD,
    EVALUATION,
    GOLDEN,
    MODEL,
    DataOrigin,
    Golden,
    Manifest,
    publishing,
    write_manifest,
)
from gurmukhi.command import whole_number
from gurmukhi.dataset import Split
from gurmukhi.evaluation import Evaluation
from gurmukhi.labels import GLYPHS
from gurmukhi.sources import DATA_HELP, Source, find_source
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.terminal import format_table, progress
from trainer.card import render_card
from trainer.graph import finish_graph, opset_of, tensor_specs
from trainer.parity import Parity, check_parity
from trainer.recipes import RECIPES, Recipe
from trainer.triton import write_triton_config
from trainer.workers import run_tasks

# Synthetic images that no model is fitted on: seeds of their own (sources.py has 1 and 2).
_GOLDEN_SEED: Final = 3
_PARITY_SEED: Final = 4
# Enough for every class a few times; a server runs them whenever it loads a version.
_GOLDEN_COUNT: Final = 64
_LIBRARIES: Final = ("numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx", "torch")


@dataclass(frozen=True, slots=True)
class _Task:
    """One version to fit, and what on."""

    recipe: Recipe
    train: Split
    test: Split
    seed: int
    parity_images: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """A version that has passed the parity gate, ready to be published."""

    recipe: Recipe
    graph: bytes
    parity: Parity
    evaluation: Evaluation
    golden: Golden


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `fit`."""
    parser.add_argument(
        "--models",
        type=Path,
        default=Path(os.environ.get("GURMUKHI_MODELS", "models")),
        metavar="DIR",
        help="the model repository to publish into (default: $GURMUKHI_MODELS or %(default)s)",
    )
    parser.add_argument("--data", metavar="SOURCE", help=DATA_HELP)
    parser.add_argument(
        "--model",
        action="append",
        choices=sorted({recipe.name for recipe in RECIPES}),
        help="fit this model alone; may be repeated (default: all)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), default=0, help="default: %(default)s"
    )
    parser.add_argument(
        "--parity-images",
        type=whole_number(10),
        default=10_000,
        metavar="N",
        help="synthetic images in the parity gate, beside all real ones (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number(1, 64),
        default=min(len(os.sched_getaffinity(0)), 4),
        help="models fitted at the same time (default: one a core, %(default)s here)",
    )


def command(arguments: argparse.Namespace) -> int:
    """Fit, check and publish; print a table."""
    source = find_source(arguments.data)
    train, test = source.split("train"), source.split("test")
    recipes = [r for r in RECIPES if not arguments.model or r.name in arguments.model]
    tasks = [_Task(r, train, test, arguments.seed, arguments.parity_images) for r in recipes]
    leakage = measure_leakage(train, test)
    rows = []
    for fitted in _fit_all(tasks, jobs=arguments.jobs, quiet=arguments.quiet):
        publish(arguments.models, fitted, source, train, arguments.seed, leakage)
        rows.append(_row(fitted, is_real=source.kind == "real"))
    print(f"data: {source.kind} ({source.location}), {len(train)} to train, {len(test)} to test")  # noqa: T201
    print(format_table(_HEADER, sorted(rows)))  # noqa: T201
    print(f"published in {arguments.models}")  # noqa: T201
    return 0


def _fit_all(tasks: Sequence[_Task], *, jobs: int, quiet: bool) -> Sequence[Fitted]:
    # Beyond the steps of fitting itself, a version is exported and checked.
    total = sum(task.recipe.steps + 2 for task in tasks)
    with progress("fit", total, quiet=quiet) as shown:

        def on_word(task: _Task, word: str) -> None:
            shown.advance(note=f"{task.recipe.name}/{task.recipe.version} {word}")

        return [fitted for _, fitted in run_tasks(fit_one, tasks, jobs=jobs, on_word=on_word)]


def fit_one(task: _Task, tell: Callable[[str], None]) -> Fitted:
    """Fit one version, export it and hold the graph against it.

    Raises ParityError where the graph answers otherwise than the model.
    """
    model = task.recipe.fit(task.train, task.seed, tell)
    graph = finish_graph(model.export())
    tell("exported")
    golden_images, _ = synthetic_digits(_GOLDEN_COUNT, _GOLDEN_SEED)
    parity, answers = check_parity(
        graph,
        model,
        {
            "train": task.train.images,
            "test": task.test.images,
            "golden": golden_images,
            "synthetic": _parity_images(task.parity_images),
        },
    )
    tell("equals the native model")
    native = answers["test"]
    evaluation = Evaluation(
        model=task.recipe.name,
        version=task.recipe.version,
        data_sha256=task.test.sha256,
        names=task.test.names,
        labels=task.test.labels,
        predictions=native.digits,
        scores=native.scores,
    )
    golden = Golden(golden_images, answers["golden"].digits, answers["golden"].scores)
    return Fitted(task.recipe, graph, parity, evaluation, golden)


@cache  # drawn once a worker
def _parity_images(count: int) -> NDArray[np.uint8]:
    return synthetic_digits(count, _PARITY_SEED)[0]


def publish(
    repository: Path, fitted: Fitted, source: Source, train: Split, seed: int, leakage: Leakage
) -> None:
    """Write a version's bundle into the repository, whole or not at all."""
    recipe, evaluation = fitted.recipe, fitted.evaluation
    graph = onnx.load_from_string(fitted.graph)
    with publishing(repository, recipe.name, recipe.version) as folder:
        (folder / MODEL).write_bytes(fitted.graph)
        (folder / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
        np.savez_compressed(
            folder / GOLDEN,
            images=fitted.golden.images,
            digits=fitted.golden.digits,
            scores=fitted.golden.scores,
        )
        manifest = Manifest(
            name=recipe.name,
            version=recipe.version,
            inputs=tensor_specs(graph.graph.input),
            outputs=tensor_specs(graph.graph.output),
            labels=GLYPHS,
            data=DataOrigin(
                source=source.kind,
                train_sha256=train.sha256,
                train_images=len(train),
                test_sha256=evaluation.data_sha256,
                test_images=len(evaluation.labels),
            ),
            seed=seed,
            hyperparameters=recipe.hyperparameters,
            selection=recipe.selection,
            libraries={name: version(name) for name in _LIBRARIES},
            opset=opset_of(graph),
            parity=_parity_record(fitted.parity),
            accuracy=evaluation.accuracy,
            score_tolerance=fitted.parity.tolerance,
        )
        card = render_card(manifest, evaluation, leakage, recipe.published_correct)
        (folder / CARD).write_text(card, encoding="utf-8")
        write_manifest(folder, manifest)
    write_triton_config(repository / recipe.name, manifest)


def _parity_record(parity: Parity) -> dict[str, Any]:
    return {
        "images": parity.images,
        "labels_that_differ": 0,  # the gate lets no other count pass
        "max_score_difference": parity.max_score_difference,
        "near_ties": list(parity.near_ties),
    }


_HEADER: Final = ("model", "version", "correct", "accuracy", "published", "parity images", "ties")


def _row(fitted: Fitted, *, is_real: bool) -> tuple[str, ...]:
    evaluation, recipe = fitted.evaluation, fitted.recipe
    correct = int((evaluation.labels == evaluation.predictions).sum())
    return (
        recipe.name,
        str(recipe.version),
        f"{correct}/{len(evaluation.labels)}",
        f"{evaluation.accuracy:.4f}",
        str(recipe.published_correct) if recipe.published_correct and is_real else "–",
        str(fitted.parity.images),
        str(len(fitted.parity.near_ties)),
    )
