"""The command `gurmukhi-train search`: find version 2 of every model by cross-validation.

Only the training split is read; the test split need not be there.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final

from gurmukhi.sources import find_source
from gurmukhi.terminal import Progress, format_table, progress
from trainer.search_journal import Journal
from trainer.search_space import candidates
from trainer.search_trial import FOLDS, Trial, judge
from trainer.selection import Selected, config_record, selection_record, write_selection
from trainer.workers import run_tasks

_PARTITION: Final = 0  # the folds that all candidates are compared on
_SECOND: Final = 1  # other folds and another seed, for those that are as good as the best
_MARGIN: Final = 1  # errors; one in a thousand is chance
_LIBRARIES: Final = ("numpy", "scikit-learn", "torch")


def command(arguments: argparse.Namespace) -> int:
    """Run the trials that are not in the journal, and write the winners."""
    source = find_source(arguments.data)
    train = source.split("train")
    journal = Journal.open(
        arguments.journal or arguments.out.with_suffix(".trials.jsonl"), resume=arguments.resume
    )
    chosen = {
        name: [Trial(name, config, _PARTITION, train) for config in configs[: arguments.limit]]
        for name, configs in candidates().items()
        if not arguments.model or name in arguments.model
    }
    trials = [trial for of_model in chosen.values() for trial in of_model]
    with progress("search", len(trials) * FOLDS, quiet=arguments.quiet) as shown:
        _run(trials, journal, arguments.jobs, shown)
    finalists = {name: _finalists(journal, of_model) for name, of_model in chosen.items()}
    again = [_again(trial) for of_model in finalists.values() for trial in of_model]
    with progress("finals", len(again) * FOLDS, quiet=arguments.quiet) as shown:
        _run(again, journal, arguments.jobs, shown)
    selected = {
        name: _selected(journal, min(of_model, key=_rank(journal)), len(chosen[name]))
        for name, of_model in finalists.items()
    }
    write_selection(
        arguments.out,
        {
            "protocol": f"{FOLDS}-fold stratified cross-validation on the training images alone; "
            "those within one error of the best once more on other folds; fewest errors in both, "
            "then robustness under mild corruptions (mlp), then the simpler one; calibrated on the "
            "other folds",
            "data": {
                "source": source.kind,
                "train_sha256": train.sha256,
                "train_images": len(train),
            },
            "libraries": {name: version(name) for name in _LIBRARIES},
            "models": selection_record(selected),
            "trials": [_trial_record(trial, _found(journal, trial)) for trial in [*trials, *again]],
        },
    )
    print(format_table(_HEADER, [_row(name, winner) for name, winner in selected.items()]))  # noqa: T201
    print(f"written to {arguments.out}")  # noqa: T201
    return 0


def _run(trials: Iterable[Trial], journal: Journal, jobs: int, shown: Progress) -> None:
    missing = []
    for trial in trials:
        if journal.figures(trial) is None:
            missing.append(trial)
        else:
            shown.advance(FOLDS)

    def on_word(trial: Trial, word: str) -> None:
        shown.advance(note=f"{trial.model} {word}")

    for trial, figures in run_tasks(judge, missing, jobs=jobs, on_word=on_word):
        journal.add(trial, figures)


def _finalists(journal: Journal, trials: Sequence[Trial]) -> list[Trial]:
    errors = [_found(journal, trial)["errors"] for trial in trials]
    return [
        trial for trial, count in zip(trials, errors, strict=True) if count <= min(errors) + _MARGIN
    ]


def _again(trial: Trial) -> Trial:
    return replace(trial, partition=_SECOND)


def _rank(journal: Journal) -> Callable[[Trial], tuple[float, ...]]:
    """Fewest errors on both partitions first; the first of equals is the simpler one."""

    def rank(trial: Trial) -> tuple[float, ...]:
        both = [_found(journal, one) for one in (trial, _again(trial))]
        return (
            sum(figures["errors"] for figures in both),
            -sum(figures.get("robustness", 0.0) for figures in both),
        )

    return rank


def _found(journal: Journal, trial: Trial) -> dict[str, Any]:
    figures = journal.figures(trial)
    if figures is None:
        raise LookupError(f"{trial.model}: a trial is missing from the journal")
    return figures


def _selected(journal: Journal, trial: Trial, candidate_count: int) -> Selected:
    figures, again = _found(journal, trial), _found(journal, _again(trial))
    return Selected(
        config=trial.config,
        slopes=tuple(again["slopes"]),
        warn_below=again["warn_below"],
        evidence={
            "candidates": candidate_count,
            "images": figures["images"],
            **_outcome(figures),
            "on_other_folds": _outcome(again),
            "calibration": again["calibration"],
        },
    )


def _outcome(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: figures[key] for key in ("errors", "accuracy", "robustness") if key in figures}


def _trial_record(trial: Trial, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": trial.model,
        "partition": trial.partition,
        "config": config_record(trial.config),
        **_outcome(figures),
        "seconds": figures["seconds"],
    }


_HEADER: Final = (
    "model",
    "tried",
    "errors",
    "accuracy",
    "on other folds",
    "ECE",
    "mild corruptions",
)


def _row(name: str, winner: Selected) -> tuple[str, ...]:
    evidence = winner.evidence
    robustness = evidence.get("robustness")
    return (
        name,
        str(evidence["candidates"]),
        str(evidence["errors"]),
        f"{evidence['accuracy']:.4f}",
        f"{evidence['on_other_folds']['accuracy']:.4f}",
        f"{evidence['calibration']['error']:.4f}",
        "–" if robustness is None else f"{robustness:.4f}",
    )
