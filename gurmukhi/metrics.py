"""Score predicted labels: accuracy, confusion matrix, and how sure these figures are."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.labels import CLASS_COUNT

_Z95: Final = 1.959963984540054  # the normal distribution's 97.5 % point

Labels = NDArray[np.int64]  # (N,), each 0 to 9


def accuracy(labels: Labels, predictions: Labels) -> float:
    """The share of predictions that are right; raises ValueError where there is none to score."""
    return float((_checked(labels, predictions) == predictions).mean())


def class_wise_accuracy(labels: Labels, predictions: Labels) -> NDArray[np.float64]:
    """(10,) for each class the one-vs-rest accuracy: images rightly called it or not it.

    The published studies report this figure: mean of `(predicted == c) == (true == c)`.
    """
    _checked(labels, predictions)
    classes = np.arange(CLASS_COUNT)[:, None]
    return np.asarray(((predictions == classes) == (labels == classes)).mean(axis=1))


def confusion_matrix(labels: Labels, predictions: Labels) -> NDArray[np.int64]:
    """(10, 10) counts, the true class in rows and the predicted one in columns."""
    _checked(labels, predictions)
    cells = labels * CLASS_COUNT + predictions
    counts = np.bincount(cells, minlength=CLASS_COUNT * CLASS_COUNT)
    return counts.reshape(CLASS_COUNT, CLASS_COUNT).astype(np.int64)


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share; raises ValueError where it is none.

    Source: E. B. Wilson, "Probable inference", JASA 22 (1927).
    """
    if count < 1 or not 0 <= correct <= count:
        raise ValueError(f"{correct} of {count} is no share")
    share, z2 = correct / count, _Z95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p of as uneven a split of the images that exactly one of two models gets right.

    Source: Q. McNemar, Psychometrika 12 (1947), with the binomial distribution itself.
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    return min(1.0, tail / 2 ** (count - 1)) if count else 1.0


def _checked(labels: Labels, predictions: Labels) -> Labels:
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} do not pair")
    if not len(labels):
        raise ValueError("an empty split has no accuracy")
    for name, values in (("label", labels), ("prediction", predictions)):
        if values.min() < 0 or values.max() >= CLASS_COUNT:
            wrong = values[(values < 0) | (values >= CLASS_COUNT)][0]
            raise ValueError(f"the {name} {wrong} is none of 0 to {CLASS_COUNT - 1}")
    return labels
