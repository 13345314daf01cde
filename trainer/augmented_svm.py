"""The SVMs of version 2: the training images and copies of them, drawn anew, as examples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.augment import Augmentation, virtual_examples
from trainer.svm import FittedSVM, SVMConfig, fit_svm


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentedSVMConfig:
    """An SVC and its virtual examples.

    Source: Schölkopf, Burges and Vapnik, "Incorporating Invariances in Support Vector Learning
    Machines", 1996.
    """

    machine: SVMConfig
    augmentation: Augmentation
    copies: int  # of each image


def fit_augmented_svm(
    config: AugmentedSVMConfig,
    images: NDArray[np.uint8],  # (N, 32, 32)
    labels: NDArray[np.int64],  # (N,)
    *,
    seed: int,
) -> FittedSVM:
    """Fit an SVC to images and virtual examples; all are bilevel, so support vectors are bits."""
    return fit_svm(
        config.machine,
        *virtual_examples(images, labels, config.augmentation, copies=config.copies, seed=seed),
    )
