"""The command `gurmukhi-train fit`: data → models → graphs → bundles."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.audit import measure_leakage
from gurmukhi.bundle import Golden
from gurmukhi.dataset import Split
from gurmukhi.errors import DataError
from gurmukhi.evaluation import Evaluation
from gurmukhi.sources import find_source
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.terminal import format_table, progress
from trainer.graph import finish_graph
from trainer.parity import check_parity, open_session, run_graph
from trainer.publish import Fitted, publish
from trainer.recipes import RECIPES, Recipe, searched_recipes
from trainer.robustness import mild_accuracies
from trainer.selection import committed_selection
from trainer.speed import measure_speed
from trainer.workers import run_tasks

# Synthetic images that no model is fitted on: seeds of their own (sources.py has 1 and 2).
_GOLDEN_SEED: Final = 3
_PARITY_SEED: Final = 4
# Enough for every class a few times; a server runs them whenever it loads a version.
_GOLDEN_COUNT: Final = 64


@dataclass(frozen=True, slots=True)
class _Task:
    """One version to fit, and what on."""

    recipe: Recipe
    train: Split
    test: Split
    seed: int
    parity_images: int


def command(arguments: argparse.Namespace) -> int:
    """Fit, check and publish; print a table."""
    _check_repository(arguments.models)
    source = find_source(arguments.data)
    train, test = source.split("train"), source.split("test")
    recipes = [
        recipe
        for recipe in _all_recipes()
        if recipe.version in arguments.versions
        and (not arguments.model or recipe.name in arguments.model)
    ]
    tasks = [_Task(r, train, test, arguments.seed, arguments.parity_images) for r in recipes]
    leakage = measure_leakage(train, test)
    rows = []
    everything = _fit_all(tasks, jobs=arguments.jobs, quiet=arguments.quiet)
    # Versions in order, so that Triton's file is the newest one's.
    for fitted in sorted(everything, key=lambda one: (one.recipe.name, one.recipe.version)):
        rivals = [other.evaluation for other in everything if other is not fitted]
        publish(arguments.models, fitted, source, train, arguments.seed, leakage, rivals)
        rows.append(_row(fitted, is_real=source.kind == "real"))
    print(f"data: {source.kind} ({source.location}), {len(train)} to train, {len(test)} to test")  # noqa: T201
    print(format_table(_HEADER, rows))  # noqa: T201
    print(f"published in {arguments.models}")  # noqa: T201
    return 0


def _check_repository(models: Path) -> None:
    """Refuse before minutes of fitting what could not be published into; raises DataError."""
    place = next(path for path in (models, *models.absolute().parents) if path.exists())
    if not place.is_dir():
        raise DataError(f"--models {models}: {place} is a file, not a folder")
    if not os.access(place, os.W_OK):
        raise DataError(f"--models {models}: {place} may not be written to")


def _all_recipes() -> list[Recipe]:
    """The one that takes longest comes first, so that the others are fitted beside it."""
    return sorted(
        [*RECIPES, *searched_recipes(committed_selection())],
        key=lambda recipe: (recipe.steps, recipe.version),
        reverse=True,
    )


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
    session = open_session(graph)
    return Fitted(
        task.recipe,
        graph,
        parity,
        evaluation,
        golden,
        mild_accuracies(lambda images: run_graph(session, images), task.test),
        measure_speed(session),
    )


@cache  # drawn once a worker
def _parity_images(count: int) -> NDArray[np.uint8]:
    return synthetic_digits(count, _PARITY_SEED)[0]


_HEADER: Final = (
    "model",
    "version",
    "correct",
    "accuracy",
    "published",
    "corrupted",
    "parity images",
    "ties",
)


def _row(fitted: Fitted, *, is_real: bool) -> tuple[str, ...]:
    evaluation, recipe = fitted.evaluation, fitted.recipe
    correct = int((evaluation.labels == evaluation.predictions).sum())
    return (
        recipe.name,
        str(recipe.version),
        f"{correct}/{len(evaluation.labels)}",
        f"{evaluation.accuracy:.4f}",
        str(recipe.published_correct) if recipe.published_correct and is_real else "–",
        f"{np.mean(list(fitted.robustness.values())):.4f}",
        str(fitted.parity.images),
        str(len(fitted.parity.near_ties)),
    )
