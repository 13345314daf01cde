"""Put a run into one record: what `report.json` holds and all other outputs are made of."""

import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Final

import grpc
import numpy as np
from numpy.typing import NDArray

import gurmukhi
from evaluator.latency import histogram, quantiles
from evaluator.replay import Replay
from evaluator.session import Session, Subject
from evaluator.statistics import class_figures, compare_pairs
from evaluator.stream import Stream
from evaluator.verdict import Verdict
from gurmukhi.evaluation import Evaluation
from gurmukhi.metrics import confusion_matrix, wilson_interval

SCHEMA_VERSION: Final = 1

Record = dict[str, Any]
"""The content of `report.json`, as JSON values."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """When and how a run was made."""

    started: datetime
    seconds: float
    command: tuple[str, ...]


def make_record(session: Session, verdict: Verdict, occasion: Occasion) -> Record:
    """The record of a run."""
    calls = [target.calls for target in session.targets]
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict.name,
        "exit_code": verdict.exit_code,
        "sentence": verdict.sentence,
        "complete": verdict.name != "incomplete",
        "started": occasion.started.astimezone(UTC).isoformat(timespec="seconds"),
        "seconds": round(occasion.seconds, 3),
        "command": list(occasion.command),
        "target": ", ".join(target.address for target in session.targets),
        "profile": {
            "checks": list(session.settings.checks),
            "concurrency": session.settings.concurrency,
            "rate": session.settings.rate,
            "seed": session.settings.seed,
        },
        "data": {
            "source": session.source.kind,
            "location": session.source.location,
            "sha256": session.split.sha256 if len(session.split) else None,
            "images": session.source.count
            if isinstance(session.source, Stream)
            else len(session.split),
            "synthetic": session.source.kind == "synthetic",
            "names": list(session.split.names),
            "labels": session.split.labels.tolist(),
        },
        "versions": {
            "gurmukhi-digits": gurmukhi.__version__,
            "python": platform.python_version(),
            "grpcio": grpc.__version__,
            "numpy": np.__version__,
            "platform": sys.platform,
        },
        "calls": {
            "sent": sum(one.sent for one in calls),
            "retried": sum(one.retried for one in calls),
            "lost": sum(one.lost for one in calls),
        },
        "baseline": str(session.baseline.path) if session.baseline else None,
        "models": [_model(session, subject) for subject in session.subjects],
        "pairs": _pairs(session),
        "checks": [asdict(result) for result in session.results],
    }


def _model(session: Session, subject: Subject) -> Record:
    manifest = subject.bundle.manifest if subject.bundle else None
    return {
        "name": subject.name,
        "version": subject.version,
        "bundle_sha256": manifest.model_sha256 if manifest else None,
        "served_sha256": subject.served_sha256 or None,
        "fault": subject.fault or None,
        "offline": _offline(subject.evaluation) if len(session.split) else None,
        "served": _served(session, subject),
        "images": _misread(session, subject),
        "latency_seconds": quantiles(subject.replay.seconds) if subject.replay else {},
        "latency": [
            {"how": how, "seconds": quantiles(one.seconds), "histogram": histogram(one.seconds)}
            for how, one in _replays(subject)
            if one.answered.any()
        ],
    }


def _replays(subject: Subject) -> list[tuple[str, Replay]]:
    alone = [("one call at a time", subject.replay)] if subject.replay else []
    return alone + list(subject.under_load.items())


def _offline(evaluation: Evaluation | None) -> Record | None:
    if evaluation is None:
        return None
    matrix = evaluation.confusion_matrix
    return {
        "correct": int(np.trace(matrix)),
        "count": len(evaluation.labels),
        "accuracy": evaluation.accuracy,
        "confusion_matrix": matrix.tolist(),
        "predictions": evaluation.predictions.tolist(),
        "data_sha256": evaluation.data_sha256,
    }


def _served(session: Session, subject: Subject) -> Record | None:
    """What was answered; lost calls are counted apart, never as wrong answers."""
    if (tally := session.tallies.get(subject.key)) is not None:
        return _figures(tally.matrix, [], tally.lost, tally.malformed)
    replay = subject.replay
    if replay is None:
        return None
    answered = replay.answered
    labels, digits = session.split.labels[answered], replay.digits[answered]
    matrix = confusion_matrix(labels, digits) if len(labels) else np.zeros((10, 10), np.int64)
    record = _figures(matrix, replay.digits.tolist(), len(replay.lost), len(replay.malformed))
    if subject.evaluation is not None:
        differs = answered & (replay.digits != subject.evaluation.predictions)
        record["differing"] = int(differs.sum())
    if session.near is not None and record["statistics"] is not None:
        near = session.near[answered]
        for name, part in (("near", near), ("far", ~near)):
            right = int((labels == digits)[part].sum())
            record["statistics"][name] = {"correct": right, "count": int(part.sum())}
    return record


def _figures(
    matrix: NDArray[np.int64], predictions: list[int], lost: int, malformed: int
) -> Record:
    """What the answers that came amount to."""
    right, count = int(np.trace(matrix)), int(matrix.sum())
    record: Record = {
        "correct": right,
        "count": count,
        "accuracy": right / count if count else None,
        "confusion_matrix": matrix.tolist() if count else None,
        "predictions": predictions,
        "lost": lost,
        "malformed": malformed,
        "differing": None,
        "statistics": None,
    }
    if count:
        figures = class_figures(matrix)
        record["statistics"] = {
            "wilson_95": wilson_interval(right, count),
            "class_wise_accuracy": figures.one_vs_rest.tolist(),
            "precision": _null_if_nan(figures.precision),
            "recall": _null_if_nan(figures.recall),
            "f1": _null_if_nan(figures.f1),
        }
    return record


def _null_if_nan(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _pairs(session: Session) -> list[Record]:
    """Each two versions, where both answered every image."""
    complete = [
        (subject.key, subject.replay.digits)
        for subject in session.subjects
        if subject.replay is not None and subject.replay.is_complete
    ]
    return [
        {
            "first": first,
            "second": second,
            **asdict(compare_pairs(session.split.labels, one, other)),
        }
        for (first, one), (second, other) in combinations(complete, 2)
    ]


def _misread(session: Session, subject: Subject) -> list[Record]:
    """The images whose served answer is wrong, or another than the offline one."""
    replay, evaluation = subject.replay, subject.evaluation
    if replay is None or evaluation is None:
        return []
    labels = session.split.labels
    shown = replay.answered & (
        (replay.digits != labels) | (replay.digits != evaluation.predictions)
    )
    return [
        {
            "index": int(i),
            "image": session.split.names[i],
            "true": int(labels[i]),
            "offline": int(evaluation.predictions[i]),
            "served": int(replay.digits[i]),
            "scores": _finite(replay.scores[i]),
            "probabilities": _finite(replay.probabilities[i]),
        }
        for i in np.flatnonzero(shown)
    ]


def _finite(values: NDArray[np.float32]) -> list[float] | None:
    return values.tolist() if np.isfinite(values).all() else None
