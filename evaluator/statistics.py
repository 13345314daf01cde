"""Say how sure the figures are: intervals, precision and recall, exact McNemar."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gurmukhi.metrics import mcnemar_exact


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
