"""Multi-layer perceptrons: the network, its losses, and how it is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class MLPConfig:
    """A network and its training; `loss` names an entry of LOSSES."""

    hidden: tuple[int, ...]
    learning_rate: float
    loss: str = "nll"
    momentum: float = 0.9
    batch_size: int = 64
    epochs: int = 15
    inputs: int = 1024
    classes: int = 10


# Each takes log-probabilities (B, 10) and labels (B,), and gives the mean loss of the batch.
LOSSES: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "nll": F.nll_loss,
    # The log-softmax of log-probabilities is themselves, so this is the NLL by another road.
    "cross-entropy": F.cross_entropy,
    # The next two were found by trial to give the published figures: the square error is between
    # the *log*-probabilities and the one-hot targets, and the divergence is averaged over all
    # B × 10 elements (PyTorch's reduction="mean", whose meaning is to change), not over the batch.
    "mse": lambda scores, labels: F.mse_loss(scores, _one_hot(scores, labels)),
    "kl": lambda scores, labels: (
        F.kl_div(scores, _one_hot(scores, labels), reduction="sum") / scores.numel()
    ),
}


def _one_hot(scores: Tensor, labels: Tensor) -> Tensor:
    return F.one_hot(labels, scores.shape[1]).to(scores.dtype)


def build_mlp(config: MLPConfig) -> nn.Sequential:
    """Linear layers with ReLU between them and log-softmax at the end: (B, inputs) → (B, 10).

    Weights come from torch's global generator, by its default initialisation.
    """
    sizes = (config.inputs, *config.hidden, config.classes)
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(sizes):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    layers[-1] = nn.LogSoftmax(dim=1)
    return nn.Sequential(*layers)


def train_mlp(
    config: MLPConfig,
    inputs: Tensor,  # (N, inputs) float32
    labels: Tensor,  # (N,) int64
    *,
    seed: int,
    on_epoch: Callable[[float], None] = lambda loss: None,
) -> tuple[nn.Sequential, list[float]]:
    """Train from scratch by SGD with momentum; returns the network and each epoch's mean loss.

    The last batch of an epoch may be short. Same seed and thread count, same weights.
    `on_epoch` is called with the epoch's mean loss.
    """
    torch.manual_seed(seed)
    network = build_mlp(config)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum
    )
    loss_of = LOSSES[config.loss]
    epoch_losses = []
    for _ in range(config.epochs):
        batches = torch.randperm(len(inputs)).split(config.batch_size)
        total = torch.zeros(())
        for batch in batches:
            optimizer.zero_grad()
            loss = loss_of(network(inputs[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.detach()
        epoch_losses.append(float(total) / len(batches))
        on_epoch(epoch_losses[-1])
    return network.eval(), epoch_losses
