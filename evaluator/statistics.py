"""Say how sure the figures are: intervals, precision and recall, exact McNemar."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_Z95: Final = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share.

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


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models' answers on the same images."""

    only_first: int  # images that the first alone gets right
    only_second: int
    disagree: int  # images that get two labels, right or wrong
    p: float  # exact McNemar, two-sided


def compare_pairs(
    labels: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> Paired:
    """Compare labels (N,) given by two models with the true ones (N,)."""
    only_first = int(((first == labels) & (second != labels)).sum())
    only_second = int(((first != labels) & (second == labels)).sum())
    disagree = int((first != second).sum())
    return Paired(only_first, only_second, disagree, mcnemar_exact(only_first, only_second))


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """(10,) each; NaN where a class was never predicted, or has no image."""

    one_vs_rest: NDArray[np.float64]  # the published class-wise accuracy
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def class_figures(matrix: NDArray[np.int64]) -> ClassFigures:
    """What a confusion matrix, true classes in rows, says of each class."""
    right = np.diag(matrix).astype(np.float64)
    true, predicted, total = matrix.sum(axis=1), matrix.sum(axis=0), matrix.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return ClassFigures(
            one_vs_rest=(total - true - predicted + 2 * right) / total,
            precision=right / predicted,
            recall=right / true,
            f1=2 * right / (true + predicted),
        )
