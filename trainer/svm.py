"""Support vector machines as the published study has them: scikit-learn's SVC on raw pixels."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

Kernel = Literal["linear", "poly", "rbf", "sigmoid"]


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
