"""Judge one configuration by cross-validation on the training images alone."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from gurmukhi.dataset import Split
from trainer import calibration, mlp_graph, svm
from trainer.augmented_mlp import AugmentedMLPConfig, train_augmented_mlp
from trainer.augmented_svm import fit_augmented_svm
from trainer.corruptions import BOUNDED
from trainer.doubt import fit_doubt
from trainer.search_space import Config

FOLDS: Final = 5
# Of real digits one in a hundred may be taken for none.
_WARNED_SHARE: Final = 0.01
_CORRUPTION_SEED: Final = 0

# Of images: digits, features, and how far each picture is trusted to be of a digit.
Reader = Callable[
    [NDArray[np.uint8]], tuple[NDArray[np.int64], calibration.Features, calibration.Trust]
]


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration to judge, on one partition of the training images."""

    model: str
    config: Config
    partition: int  # the seed of the folds; of the fits too
    train: Split


def fold_of(labels: NDArray[np.int64], partition: int) -> NDArray[np.int64]:
    """(N,) the fold of each image: five, with the same share of each class."""
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=partition)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels)):
        folds[held_out] = fold
    return folds


def judge(trial: Trial, tell: Callable[[str], None]) -> dict[str, Any]:
    """Fit to four folds, read the fifth, five times; copies are drawn of the fitted images alone.

    Returns the figures; `tell` gets a word after each fold.
    """
    started = time.monotonic()
    images, labels = trial.train.images, trial.train.labels
    folds = fold_of(labels, trial.partition)
    predictions = np.empty_like(labels)
    trust = np.empty(len(labels))
    features: list[calibration.Features] = []
    robustness = []
    for fold in range(FOLDS):
        mine = folds == fold
        read = _fit(trial.config, images[~mine], labels[~mine], trial.partition)
        predictions[mine], values, trust[mine] = read(images[mine])
        features.append(values)
        if isinstance(trial.config, AugmentedMLPConfig):  # an SVM's is slow, and not bounded
            robustness.append(_robustness(read, images[mine], labels[mine]))
        tell(f"fold {fold + 1}: {int((predictions != labels)[folds <= fold].sum())} errors")
    order = np.argsort(folds, kind="stable")
    figures = _figures(
        np.concatenate(features, axis=1),
        predictions[order],
        labels[order],
        folds[order],
        trust[order],
    )
    if robustness:
        figures["robustness"] = float(np.mean(robustness))
    return {**figures, "seconds": round(time.monotonic() - started, 1)}


def _figures(
    features: calibration.Features,
    predictions: NDArray[np.int64],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    trust: calibration.Trust,
) -> dict[str, Any]:
    probabilities = calibration.scale_out_of_fold(features, labels, folds, trust)
    confidence = probabilities[np.arange(len(labels)), predictions]
    errors = int((predictions != labels).sum())
    return {
        "images": len(labels),
        "errors": errors,
        "accuracy": 1 - errors / len(labels),
        "slopes": list(calibration.fit_slopes(features, labels, trust)),
        "calibration": calibration.measure_reliability(probabilities, predictions, labels).record(),
        "warn_below": float(np.quantile(confidence, _WARNED_SHARE)),
    }


def _fit(config: Config, images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int) -> Reader:
    if isinstance(config, AugmentedMLPConfig):
        network = train_augmented_mlp(config, images, labels, seed=seed)

        def read_by_network(images: NDArray[np.uint8]) -> Any:
            with torch.inference_mode():
                scores = network(mlp_graph.scale_pixels(torch.from_numpy(images))).numpy()
            # Rejects are among what it was trained on; its own probabilities say its doubt.
            return scores.argmax(axis=1), scores[None].astype(np.float64), np.ones(len(images))

        return read_by_network
    fitted = fit_augmented_svm(config, images, labels, seed=seed)
    doubt = fit_doubt(fitted, images, labels, seed=seed)

    def read_by_machine(images: NDArray[np.uint8]) -> Any:
        decisions = fitted.pair_decisions(images)
        return svm.vote(decisions), svm.features(decisions), doubt.trust(decisions)

    return read_by_machine


def _robustness(read: Reader, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """The mean accuracy under the nine mild corruptions."""
    return float(
        np.mean(
            [
                np.mean(
                    [
                        (read(spoiled)[0] == labels).mean()
                        for spoiled in corruption.apply(images, 0, _CORRUPTION_SEED)
                    ]
                )
                for corruption in BOUNDED
            ]
        )
    )
