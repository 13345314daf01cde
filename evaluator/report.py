"""Put a run into one record: what `report.json` holds and all other outputs are made of."""

import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import grpc
import numpy as np

import gurmukhi
from evaluator.latency import quantiles
from evaluator.session import Session, Subject
from evaluator.verdict import Verdict
from gurmukhi.evaluation import Evaluation
from gurmukhi.metrics import confusion_matrix

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
    calls = session.target.calls
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict.name,
        "exit_code": verdict.exit_code,
        "sentence": verdict.sentence,
        "complete": verdict.name != "incomplete",
        "started": occasion.started.astimezone(UTC).isoformat(timespec="seconds"),
        "seconds": round(occasion.seconds, 3),
        "command": list(occasion.command),
        "target": session.target.address,
        "data": {
            "source": session.source.kind,
            "location": session.source.location,
            "sha256": session.split.sha256,
            "images": len(session.split),
            "synthetic": session.source.kind == "synthetic",
        },
        "versions": {
            "gurmukhi-digits": gurmukhi.__version__,
            "python": platform.python_version(),
            "grpcio": grpc.__version__,
            "numpy": np.__version__,
            "platform": sys.platform,
        },
        "calls": {"sent": calls.sent, "retried": calls.retried, "lost": calls.lost},
        "models": [_model(session, subject) for subject in session.subjects],
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
        "offline": _offline(subject.evaluation),
        "served": _served(session, subject),
        "images": _misread(session, subject),
        "latency_seconds": quantiles(subject.replay.seconds) if subject.replay else {},
    }


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
    replay = subject.replay
    if replay is None:
        return None
    answered = replay.answered
    labels, digits = session.split.labels[answered], replay.digits[answered]
    matrix = confusion_matrix(labels, digits) if len(labels) else None
    record: Record = {
        "correct": int((labels == digits).sum()),
        "count": len(labels),
        "accuracy": float((labels == digits).mean()) if len(labels) else None,
        "confusion_matrix": matrix.tolist() if matrix is not None else None,
        "predictions": replay.digits.tolist(),
        "lost": len(replay.lost),
        "malformed": len(replay.malformed),
        "differing": None,
    }
    if subject.evaluation is not None:
        differs = answered & (replay.digits != subject.evaluation.predictions)
        record["differing"] = int(differs.sum())
    return record


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


def _finite(values: np.ndarray[Any, Any]) -> list[float] | None:
    return values.tolist() if np.isfinite(values).all() else None
