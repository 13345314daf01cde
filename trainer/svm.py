"""Support vector machines as the published study has them: scikit-learn's SVC on raw pixels."""

import copy
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC
from sklearn.utils.multiclass import _ovr_decision_function

from gurmukhi.labels import CLASS_COUNT

Kernel = Literal["linear", "poly", "rbf", "sigmoid"]

_PAIRS: Final = list(combinations(range(CLASS_COUNT), 2))  # (45,) in libsvm's order


@dataclass(frozen=True, slots=True, kw_only=True)
class SVMConfig:
    """An SVC; `gamma` is a number or "scale", 1 / (pixels × their variance)."""

    kernel: Kernel
    C: float = 1.0
    gamma: float | Literal["scale"] = "scale"
    degree: int = 3  # of the poly kernel
    coef0: float = 0.0  # of the poly and sigmoid kernels


# C and gamma are not stated in the publication; these give its figures to the last digit.
PUBLISHED_SVMS: Final[dict[str, SVMConfig]] = {
    "svm-linear": SVMConfig(kernel="linear"),
    "svm-poly": SVMConfig(kernel="poly"),
    "svm-rbf": SVMConfig(kernel="rbf", gamma=2.0),
    "svm-sigmoid": SVMConfig(kernel="sigmoid"),
}


def scale_pixels(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, 32, 32) grey values → (N, 1024) numbers from −1 (ink) to 1 (paper)."""
    return images.reshape(len(images), -1) / 127.5 - 1


def fit_svm(config: SVMConfig, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> SVC:
    """Fit an SVC to (N, 32, 32) images; libsvm's solver is deterministic."""
    machine = SVC(
        kernel=config.kernel,
        C=config.C,
        gamma=config.gamma,
        degree=config.degree,
        coef0=config.coef0,
        cache_size=500,  # MB; the whole kernel matrix of the real training split fits
    )
    return machine.fit(scale_pixels(images), labels)


def pair_decisions(machine: SVC, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 45) libsvm's decision values of scaled pixels: 0 against 1, 0 against 2 … 8 against 9."""
    one_vs_one = copy.copy(machine)
    one_vs_one.decision_function_shape = "ovo"
    return np.asarray(one_vs_one.decision_function(pixels), dtype=np.float64)


def vote(decisions: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) the classes with the most votes, the first of equals.

    A value of zero votes for the later class, as in libsvm's svm_predict_values.
    """
    return np.asarray(_votes(decisions > 0).argmax(axis=1), dtype=np.int64)


def one_vs_rest(decisions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 10) scikit-learn's `decision_function`."""
    return np.asarray(_ovr_decision_function(decisions < 0, -decisions, CLASS_COUNT))


def features(decisions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, N, 10) what probabilities are made of: votes, and sums of decision values."""
    sums = np.zeros((len(decisions), CLASS_COUNT))
    for pair, (first, second) in enumerate(_PAIRS):
        sums[:, first] += decisions[:, pair]
        sums[:, second] -= decisions[:, pair]
    return np.stack([_votes(decisions >= 0), sums])


def _votes(won: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N, 10) from (N, 45): a pair's first class gains by true, its second by false."""
    votes = np.zeros((len(won), CLASS_COUNT), dtype=np.int64)
    for pair, (first, second) in enumerate(_PAIRS):
        votes[:, first] += won[:, pair]
        votes[:, second] += ~won[:, pair]
    return votes
