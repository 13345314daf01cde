"""Keep finished trials in a file of JSON lines, so that a search can be taken up again."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Self

from gurmukhi.errors import DataError
from trainer.search_trial import FOLDS, Trial
from trainer.selection import config_record


def trial_key(trial: Trial) -> str:
    """What makes a trial the one it is: model, configuration, folds and images."""
    record = {
        "model": trial.model,
        "config": config_record(trial.config),
        "folds": FOLDS,
        "partition": trial.partition,
        "train_sha256": trial.train.sha256,
    }
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """The figures of finished trials, by their keys; each is on disk before it counts."""

    def __init__(self, path: Path, figures: dict[str, dict[str, Any]]) -> None:
        self._path = path
        self._figures = figures

    @classmethod
    def open(cls, path: Path, *, resume: bool) -> Self:
        """Open a journal; raises DataError where there is one and `resume` is false."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(path, {})
        if not resume:
            raise DataError(f"{path}: is there already; add --resume to go on, or remove it")
        lines = path.read_bytes().splitlines(keepends=True)
        figures: dict[str, dict[str, Any]] = {}
        whole = 0
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                figures[record["key"]] = record["figures"]
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines):
                    break  # a last line cut short by a crash: its trial is run again
                raise DataError(f"{path}:{number}: not a trial ({error})") from error
            whole += len(line)
        os.truncate(path, whole)
        return cls(path, figures)

    def __len__(self) -> int:
        return len(self._figures)

    def figures(self, trial: Trial) -> dict[str, Any] | None:
        """What was found of a trial; None where it was not finished."""
        return self._figures.get(trial_key(trial))

    def add(self, trial: Trial, figures: dict[str, Any]) -> None:
        """Write a finished trial, durably."""
        record = {
            "key": trial_key(trial),
            "model": trial.model,
            "partition": trial.partition,
            "config": config_record(trial.config),
            "figures": figures,
        }
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
            out.flush()
            os.fsync(out.fileno())
        self._figures[trial_key(trial)] = figures
