"""What one training leaves: predicted labels, losses, time; and how it is kept as JSON."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.metrics import accuracy, class_wise_accuracy, confusion_matrix

Tell = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trained model's answers on the test images."""

    predictions: NDArray[np.int64]  # (N,)
    losses: tuple[float, ...]  # mean of each epoch; none of an SVM
    seconds: float  # training and answering
    finite: bool = True  # whether every score is a number; if not, argmax says class 0

    def to_json(self) -> dict[str, Any]:
        """As plain values; a label is one character."""
        return {
            "predictions": "".join(map(str, self.predictions.tolist())),
            "losses": [_plain(loss) for loss in self.losses],
            "seconds": round(self.seconds, 3),
            "finite": self.finite,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Outcome":
        """The opposite of `to_json`; raises KeyError, TypeError or ValueError."""
        return cls(
            np.array([int(label) for label in record["predictions"]], dtype=np.int64),
            tuple(float("nan") if loss is None else float(loss) for loss in record["losses"]),
            float(record["seconds"]),
            bool(record["finite"]),
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """An outcome measured against the true labels."""

    accuracy: float
    class_wise: NDArray[np.float64]  # (10,)
    matrix: NDArray[np.int64]  # (10, 10)

    @classmethod
    def of(cls, labels: NDArray[np.int64], outcome: Outcome) -> "Scores":
        """Measure an outcome."""
        return cls(
            accuracy(labels, outcome.predictions),
            class_wise_accuracy(labels, outcome.predictions),
            confusion_matrix(labels, outcome.predictions),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values, to eight digits as published."""
        return {
            "accuracy": round(self.accuracy, _DIGITS),
            "class_wise_accuracy": [round(float(value), _DIGITS) for value in self.class_wise],
            "confusion_matrix": self.matrix.tolist(),
        }


_DIGITS: Final = 8


def _plain(loss: float) -> float | None:
    """JSON has no word for what is not a number."""
    return loss if np.isfinite(loss) else None
