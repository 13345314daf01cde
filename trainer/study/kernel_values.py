"""Why the RBF machine fails at a large γ: what its kernel makes of the images' distances."""

from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.dataset import Split
from trainer.svm import scale_pixels

# Beside the 1 that an image has with itself a value below this is lost in float64.
LOST: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class KernelValues:
    """Squared distances ‖x − y‖² of scaled images, of which the kernel is exp(−γ ‖x − y‖²)."""

    between_train: NDArray[np.float64]  # every pair of training images
    to_nearest: NDArray[np.float64]  # (N test,) from a test image to its nearest training image

    def median_digits(self, gamma: float) -> float:
        """−log₁₀ of the median kernel value between two training images; never underflows."""
        return gamma * float(np.median(self.between_train)) / log(10)

    def lost_pairs(self, gamma: float) -> int:
        """How many training pairs have a kernel value that is lost beside 1."""
        return int((np.exp(-gamma * self.between_train) < LOST).sum())

    def alone(self, gamma: float) -> NDArray[np.bool_]:
        """(N test,) whether even the nearest training image has a kernel value lost beside 1."""
        return np.asarray(np.exp(-gamma * self.to_nearest) < LOST)


def measure_kernel(train: Split, test: Split) -> KernelValues:
    """Measure the distances of all pairs."""
    inputs, test_inputs = scale_pixels(train.images), scale_pixels(test.images)
    pairs = _squared_distances(inputs, inputs)
    return KernelValues(
        pairs[np.triu_indices(len(inputs), k=1)],
        _squared_distances(test_inputs, inputs).min(axis=1),
    )


def scale_gamma(train: Split) -> float:
    """What `gamma="scale"` stands for: 1 / (pixels × their variance)."""
    inputs = scale_pixels(train.images)
    return float(1 / (inputs.shape[1] * inputs.var()))


def _squared_distances(
    inputs: NDArray[np.float64], others: NDArray[np.float64]
) -> NDArray[np.float64]:
    squares, other_squares = np.square(inputs).sum(axis=1), np.square(others).sum(axis=1)
    return np.asarray(
        np.maximum(squares[:, None] + other_squares - 2 * inputs @ others.T, 0.0)
    )  # (N, M)
