"""Fit the published models to the Gurmukhi digits again and write what came of it."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

from gurmukhi.sources import Source
from trainer import mlp, svm
from trainer.mlp import MLPConfig
from trainer.recipes import RECIPES
from trainer.study import gurmukhi_rows, outcome
from trainer.study.gurmukhi_report import make_report
from trainer.study.gurmukhi_result import Fitted, GurmukhiStudy, to_json
from trainer.study.gurmukhi_rows import GurmukhiTask, fit_row
from trainer.study.kernel_values import measure_kernel, scale_gamma
from trainer.study.outcome import Scores
from trainer.study.report import write_report
from trainer.study.runs import run_rows
from trainer.study.settings import Settings
from trainer.study.store import Store, dependencies
from trainer.svm import PUBLISHED_SVMS, SVMConfig

# Of the curve: the published 2 and decades around what "scale" stands for, about 0.0012.
GAMMAS: Final = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.02, 0.03, 0.1, 0.3, 1.0, 2.0, 5.0)


def run_gurmukhi(
    settings: Settings, source: Source, gammas: Sequence[float] = GAMMAS
) -> GurmukhiStudy:
    """Fit every model, write the report into `settings.folder`, and return the study."""
    started = time.monotonic()
    train, test = source.split("train"), source.split("test")
    config = published_mlp()
    mlps = [GurmukhiTask("mlp", config, seed) for seed in settings.seeds]
    svms = [GurmukhiTask(name, config) for name, config in PUBLISHED_SVMS.items()]
    curve = [
        GurmukhiTask(f"svm-rbf, γ = {gamma:g}", SVMConfig(kernel="rbf", gamma=gamma))
        for gamma in gammas
    ]
    found = run_rows(
        "Gurmukhi",
        partial(fit_row, train, test),
        {
            task: {"config": asdict(task.config), "seed": task.seed}
            for task in (*curve, *svms, *mlps)
        },
        steps=lambda task: task.config.epochs if isinstance(task.config, MLPConfig) else 1,
        note=lambda task, word: (
            f"{task.name}: loss {word:.4f}"
            if isinstance(task.config, MLPConfig)
            else f"{task.name}: {word} support vectors"
        ),
        store=Store(
            settings.folder / "rows",
            dependencies((train.sha256, test.sha256), (mlp, svm, gurmukhi_rows, outcome)),
        ),
        jobs=settings.jobs,
        fresh=settings.fresh,
        quiet=settings.quiet,
    )

    def fitted(task: GurmukhiTask) -> Fitted:
        return Fitted(found[task], Scores.of(test.labels, found[task]))

    study = GurmukhiStudy(
        kind=source.kind,
        location=source.location,
        train=train,
        test=test,
        config=config,
        seeds=settings.seeds,
        mlps=[fitted(task) for task in mlps],
        svms={task.name: fitted(task) for task in svms},
        gammas={gamma: fitted(task) for gamma, task in zip(gammas, curve, strict=True)},
        scale=scale_gamma(train),
        kernel=measure_kernel(train, test),
        seconds=time.monotonic() - started,
    )
    write_report(settings.folder, make_report(study), to_json(study))
    return study


def published_mlp() -> MLPConfig:
    """The MLP as published, which is version 1 of the model `mlp`."""
    for recipe in RECIPES:
        if (recipe.name, recipe.version) == ("mlp", 1) and isinstance(recipe.config, MLPConfig):
            return recipe.config
    raise LookupError("there is no recipe for version 1 of the mlp")
