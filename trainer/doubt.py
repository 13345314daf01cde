"""Tell digits from pictures of none by the decision values of an SVM.

Of what is no digit an SVM is as sure as of a digit: each pair of classes divides all pictures in
two. But its 45 decision values together lie elsewhere for noise, foreign shapes or halves of digits
than for digits, and a network of one small layer tells where. It sees digits drawn anew, whose
values are as those of digits that the machine was not fitted to, and as many `rejects`; no label
depends on it.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from gurmukhi.image import PAPER
from trainer.augment import HAND, read_ink, virtual_examples
from trainer.rejects import draw_rejects
from trainer.svm import FittedSVM

_UNITS: Final = 32  # 16 and 64 tell digits from rejects about as well
_COPIES: Final = 3  # of each image
# Machines are fitted to copies that were drawn with the seed itself.
_SEED_APART: Final = 1_000_000
_STEPS: Final = 1500
_BATCH: Final = 256
_LEARNING_RATE: Final = 0.01  # the highest
_WEIGHT_DECAY: Final = 0.0001
# Half of what it learns from are rejects; of the pictures that are sent they are taken to be fewer.
# The fewer, the weaker the doubt; the more, the less sure is it of real digits than it is right.
_DIGITS_A_REJECT: Final = 10


@dataclass(frozen=True, slots=True)
class Doubt:
    """A network of one hidden layer: 45 decision values → the log-odds of a digit."""

    weights: NDArray[np.float64]  # (45, units)
    biases: NDArray[np.float64]  # (units,)
    out_weights: NDArray[np.float64]  # (units, 1)
    out_bias: float

    def trust(self, decisions: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) how likely pictures with these decision values (N, 45) are digits at all."""
        hidden = np.maximum(decisions @ self.weights + self.biases, 0)
        log_odds = (hidden @ self.out_weights)[:, 0] + self.out_bias
        return np.asarray(np.exp(-np.logaddexp(0, -log_odds)))


def fit_doubt(
    fitted: FittedSVM,
    images: NDArray[np.uint8],  # (N, 32, 32) that the machine was fitted to
    labels: NDArray[np.int64],  # (N,)
    *,
    seed: int,
) -> Doubt:
    """Fit a network to a machine's decision values of digits and of rejects."""
    drawn, _ = virtual_examples(images, labels, HAND, copies=_COPIES, seed=seed + _SEED_APART)
    digits = drawn[len(images) :]
    generator = torch.Generator().manual_seed(seed + _SEED_APART)
    ink = draw_rejects(read_ink(digits), len(digits), generator)
    rejects = ((1 - ink) * PAPER).round().to(torch.uint8).numpy()
    values = fitted.rough_decisions(np.concatenate([digits, rejects]))
    targets = np.repeat([1.0, 0.0], len(digits))
    mean, spread = values.mean(axis=0), values.std(axis=0) + np.finfo(np.float32).eps
    scaled = torch.from_numpy((values - mean) / spread).to(torch.float32)
    weights, biases, out_weights, out_bias = _train(
        scaled, torch.from_numpy(targets).to(torch.float32), generator
    )
    weights = weights / spread[:, None]
    return Doubt(
        weights=weights,
        biases=biases - mean @ weights,
        out_weights=out_weights,
        out_bias=float(out_bias[0]) + math.log(_DIGITS_A_REJECT),
    )


def _train(
    values: Tensor,  # (N, 45)
    targets: Tensor,  # (N,) 1 for a digit
    generator: Generator,
) -> list[NDArray[np.float64]]:
    """Weights and biases of both layers, by AdamW; the same from the same generator."""
    width = values.shape[1]
    parameters = [
        torch.randn((width, _UNITS), generator=generator) * math.sqrt(2 / width),
        torch.zeros(_UNITS),
        torch.randn((_UNITS, 1), generator=generator) * math.sqrt(1 / _UNITS),
        torch.zeros(1),
    ]
    for parameter in parameters:
        parameter.requires_grad_()
    weights, biases, out_weights, out_bias = parameters
    optimizer = torch.optim.AdamW(
        parameters, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=_STEPS)
    for _ in range(_STEPS):
        chosen = torch.randint(len(values), (_BATCH,), generator=generator)
        hidden = F.relu(values[chosen] @ weights + biases)
        log_odds = (hidden @ out_weights + out_bias)[:, 0]
        loss = F.binary_cross_entropy_with_logits(log_odds, targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return [parameter.detach().double().numpy() for parameter in parameters]
