"""Hold served accuracy against an earlier report's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from evaluator.history import BROKEN_RECORD, is_history, last_pass
from evaluator.parity import name_images, replayed
from evaluator.results import Fault, Result
from evaluator.session import Session, Subject
from evaluator.statistics import compare_pairs
from gurmukhi.errors import DataError


@dataclass(frozen=True, slots=True)
class Baseline:
    """What an earlier run was answered."""

    path: Path
    data_sha256: str
    predictions: dict[str, NDArray[np.int64]]  # name:version -> (N,)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a `report.json`, or the last run of a history that passed; raises DataError."""
        try:
            record = (
                last_pass(path)
                if is_history(path)
                else json.loads(path.read_text(encoding="utf-8"))
            )
            return cls(path, str(record["data"]["sha256"]), _predictions(record))
        except OSError as error:
            raise DataError(f"--baseline {path}: cannot be read ({error.strerror})") from error
        except BROKEN_RECORD as error:
            raise DataError(f"--baseline {path}: is no report.json ({error!r})") from error


def _predictions(record: dict[str, Any]) -> dict[str, NDArray[np.int64]]:
    count = int(record["data"]["images"])
    found = {}
    for model in record["models"]:
        served = model["served"]
        if served is None or served["lost"] or served["malformed"]:
            continue
        digits = np.array(served["predictions"], np.int64)
        if digits.shape != (count,):
            raise ValueError(f"{len(digits)} predictions on {count} images")
        found[f"{model['name']}:{model['version']}"] = digits
    return found


def check_baseline(session: Session) -> Iterator[Result]:
    """Whether each version has as many right answers as in the baseline."""
    baseline = session.baseline
    if baseline is None:
        yield Result.skipped("baseline", session.target.address, "no --baseline is given")
        return
    if baseline.data_sha256 != session.split.sha256:
        yield Result.failed(
            "baseline",
            session.target.address,
            Fault.INPUT,
            f"--baseline {baseline.path} is of the data {baseline.data_sha256}, "
            f"this run of {session.split.sha256}",
        )
        return
    for subject in session.testable():
        yield _against(session, subject, baseline)
    tested = {subject.key for subject in session.subjects}
    for key in baseline.predictions.keys() - tested:
        yield Result.skipped("baseline", key, "is in the baseline and not in this run")


def _against(session: Session, subject: Subject, baseline: Baseline) -> Result:
    before = baseline.predictions.get(subject.key)
    if before is None:
        return Result.skipped("baseline", subject.key, "is not in the baseline")
    replay = replayed(session, subject)
    if not replay.is_complete:
        return Result.skipped("baseline", subject.key, "the labels were not replayed in full")
    labels, now, names = session.split.labels, replay.digits, session.split.names
    right_before, right_now = int((before == labels).sum()), int((now == labels).sum())
    paired = compare_pairs(labels, before, now)
    changed = [f"{names[i]} ({before[i]} → {now[i]})" for i in np.flatnonzero(before != now)]
    evidence = {
        "right_before": right_before,
        "right_now": right_now,
        "changed": changed,
        "p": paired.p,
    }
    sentence = (
        f"{subject.key}: {right_now} of {len(labels)} answers are right, "
        f"{right_before} in the baseline"
    )
    if changed:
        sentence += f" (McNemar p = {paired.p:.3g}); changed: {name_images(changed)}"
    if right_before - right_now > session.settings.allow_lost:
        if session.settings.accept_fall:
            return Result.passed("baseline", subject.key, f"accepted: {sentence}", **evidence)
        return Result.failed("baseline", subject.key, Fault.QUALITY, sentence, **evidence)
    return Result.passed("baseline", subject.key, sentence, **evidence)
