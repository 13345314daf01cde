"""Support vector machines as the published study has them: scikit-learn's SVC on raw pixels."""

import copy
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.svm import SVC
from sklearn.utils.multiclass import _ovr_decision_function

from gurmukhi.labels import CLASS_COUNT
from trainer.blur import HALF_RANGE, blur_ink, smooth

Kernel = Literal["linear", "poly", "rbf", "sigmoid"]
View = Literal["pixels", "blurred", "smoothed"]  # what a machine sees of an image

_PAIRS: Final = list(combinations(range(CLASS_COUNT), 2))  # (45,) in libsvm's order


@dataclass(frozen=True, slots=True, kw_only=True)
class SVMConfig:
    """An SVC; `gamma` is a number or "scale", 1 / (pixels × their variance)."""

    kernel: Kernel
    C: float = 1.0
    gamma: float | Literal["scale"] = "scale"
    degree: int = 3  # of the poly kernel
    coef0: float = 0.0  # of the poly and sigmoid kernels
    view: View = "pixels"


# C and gamma are not stated in the publication; these give its figures to the last digit.
PUBLISHED_SVMS: Final[dict[str, SVMConfig]] = {
    "svm-linear": SVMConfig(kernel="linear"),
    "svm-poly": SVMConfig(kernel="poly"),
    "svm-rbf": SVMConfig(kernel="rbf", gamma=2.0),
    "svm-sigmoid": SVMConfig(kernel="sigmoid"),
}


def scale_pixels(images: NDArray[np.uint8] | NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 32, 32) grey values → (N, 1024) numbers from −1 (ink) to 1 (paper)."""
    return images.reshape(len(images), -1) / 127.5 - 1


def see(images: NDArray[np.uint8], view: View) -> NDArray[np.float64]:
    """(N, 32, 32) grey values → (N, 1024) numbers from −1 to 1 that an SVC is given."""
    if view == "blurred":
        return blur_ink(images).reshape(len(images), -1) / HALF_RANGE - 1
    return scale_pixels(smooth(images) if view == "smoothed" else images)


@dataclass(frozen=True, slots=True)
class FittedSVM:
    """An SVC, what it sees of an image, and its support vectors as images."""

    machine: SVC
    view: View
    vectors: NDArray[np.uint8]  # (support vectors, 32, 32)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(N,) libsvm's own labels of (N, 32, 32) images."""
        return np.asarray(self.machine.predict(see(images, self.view)), dtype=np.int64)

    def pair_decisions(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N, 45) libsvm's decision values: 0 against 1, 0 against 2 … 8 against 9."""
        one_vs_one = copy.copy(self.machine)
        one_vs_one.decision_function_shape = "ovo"
        values = one_vs_one.decision_function(see(images, self.view))
        return np.asarray(values, dtype=np.float64)

    def rough_decisions(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N, 45) the same but for rounding, many times as fast: as matrix products."""
        machine = self.machine
        kernel = pairwise_kernels(
            see(images, self.view),
            machine.support_vectors_,
            metric=machine.kernel,
            filter_params=True,  # each kernel takes those that it has
            gamma=machine._gamma,
            degree=machine.degree,
            coef0=machine.coef0,
        )
        return np.asarray(kernel @ pair_weights(machine) + machine.intercept_)


def pair_weights(machine: SVC) -> NDArray[np.float64]:
    """(support vectors, 45): each pair's coefficients, zero for vectors of other classes."""
    stops = np.cumsum(machine.n_support_)
    starts = stops - machine.n_support_
    weights = np.zeros((stops[-1], len(_PAIRS)))
    for pair, (first, second) in enumerate(_PAIRS):
        # dual_coef_ has a row for each other class, its own left out.
        for label, row in ((first, second - 1), (second, first)):
            own = slice(starts[label], stops[label])
            weights[own, pair] = machine.dual_coef_[row, own]
    return weights


def fit_svm(config: SVMConfig, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> FittedSVM:
    """Fit an SVC to (N, 32, 32) images; libsvm's solver is deterministic."""
    machine = SVC(
        kernel=config.kernel,
        C=config.C,
        gamma=config.gamma,
        degree=config.degree,
        coef0=config.coef0,
        cache_size=500,  # MB; the whole kernel matrix of the real training split fits
    )
    machine.fit(see(images, config.view), labels)
    return FittedSVM(machine, config.view, images[machine.support_])


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
