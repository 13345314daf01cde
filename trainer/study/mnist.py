"""Train the published MNIST table again and write what came of it."""

import time
from collections.abc import Sequence
from dataclasses import asdict

from gurmukhi.mnist import MNIST_SHA256, Mnist, find_mnist, read_mnist
from trainer import backprop, mlp
from trainer.study import mnist_rows, outcome
from trainer.study.mnist_report import make_report
from trainer.study.mnist_result import RowResult
from trainer.study.mnist_rows import MnistTask, train_row
from trainer.study.mnist_table import MnistStudy, to_json
from trainer.study.outcome import Outcome, Scores
from trainer.study.published import MNIST_ROWS, MnistRow
from trainer.study.report import write_report
from trainer.study.runs import run_rows
from trainer.study.settings import Settings
from trainer.study.store import Store, dependencies


def run_mnist(settings: Settings, rows: Sequence[MnistRow] = MNIST_ROWS) -> MnistStudy:
    """Train the rows, write the report into `settings.folder`, and return the study."""
    started = time.monotonic()
    folder = find_mnist()
    data = read_mnist(folder)
    # Longest first, so that the cores finish together.
    tasks = sorted(
        (
            MnistTask(row.number, row.config, seed, folder)
            for row in rows
            for seed in settings.seeds
        ),
        key=lambda task: -task.work,
    )
    store = Store(
        settings.folder / "rows",
        dependencies(MNIST_SHA256.values(), (backprop, mlp, mnist_rows, outcome)),
    )
    titles = {row.number: row.title for row in rows}
    keys = {task: {"config": asdict(task.config), "seed": task.seed} for task in tasks}
    kept = 0 if settings.fresh else sum(store.get(key) is not None for key in keys.values())
    found = run_rows(
        "MNIST",
        train_row,
        keys,
        steps=lambda task: task.config.epochs,
        note=lambda task, loss: f"{titles[task.number]}: loss {loss:.4f}",
        store=store,
        jobs=settings.jobs,
        fresh=settings.fresh,
        quiet=settings.quiet,
    )
    study = MnistStudy(
        [_result(row, found, data) for row in rows], time.monotonic() - started, kept
    )
    write_report(settings.folder, make_report(study, data, settings), to_json(study, settings))
    return study


def _result(row: MnistRow, found: dict[MnistTask, Outcome], data: Mnist) -> RowResult:
    outcomes = [outcome for task, outcome in found.items() if task.number == row.number]
    return RowResult(row, outcomes, [Scores.of(data.test_labels, each) for each in outcomes])
