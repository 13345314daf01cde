"""Fit one model of the Gurmukhi study; runs in a process of its own."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from gurmukhi.dataset import Split
from trainer.mlp import MLPConfig, train_mlp
from trainer.study.outcome import Outcome, Tell
from trainer.svm import SVMConfig, fit_svm, scale_pixels


@dataclass(frozen=True, slots=True)
class GurmukhiTask:
    """One model to fit; the seed is the MLP's, an SVM has none."""

    name: str
    config: MLPConfig | SVMConfig
    seed: int | None = None


def fit_row(train: Split, test: Split, task: GurmukhiTask, tell: Tell) -> Outcome:
    """Fit a model to the training split and classify the test split."""
    started = time.perf_counter()
    if isinstance(task.config, SVMConfig):
        fitted = fit_svm(task.config, train.images, train.labels)
        predictions = fitted.predict(test.images)
        tell(len(fitted.vectors))
        return Outcome(predictions, (), time.perf_counter() - started)
    if task.seed is None:
        raise ValueError(f"{task.name}: an MLP needs a seed")
    inputs, test_inputs = (
        torch.from_numpy(scale_pixels(split.images).astype(np.float32)) for split in (train, test)
    )
    network, losses = train_mlp(
        task.config, inputs, torch.from_numpy(train.labels), seed=task.seed, on_epoch=tell
    )
    with torch.inference_mode():
        scores = network(test_inputs)  # (N, 10)
    return Outcome(
        scores.argmax(dim=1).numpy(),
        tuple(losses),
        time.perf_counter() - started,
        finite=bool(torch.isfinite(scores).all()),
    )
