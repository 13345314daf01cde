"""Train one row of the MNIST table; runs in a process of its own.

The training is `trainer.backprop`, from PyTorch's initial weights and with PyTorch's batches for
the seed. In float32 it follows `trainer.mlp.train_mlp` but for rounding, and takes less
time, since no graph is recorded.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gurmukhi.labels import CLASS_COUNT
from gurmukhi.mnist import Mnist, read_mnist
from trainer.backprop import ACTIVATIONS, COSTS, Layer, Network, forward, train
from trainer.mlp import MLPConfig, build_mlp
from trainer.study.outcome import Outcome, Tell

# The published losses, by what they do to z^H. The log-softmax of log-probabilities is themselves,
# so NLL and cross-entropy of the log-softmax output are one cost.
_COSTS: Final = {
    "nll": COSTS["categorical cross-entropy"],
    "cross-entropy": COSTS["categorical cross-entropy"],
    "mse": COSTS["square error of logarithms"],
    "kl": COSTS["mean divergence"],
}


@dataclass(frozen=True, slots=True)
class MnistTask:
    """One row with one seed, on the MNIST files of a folder."""

    number: int
    config: MLPConfig
    seed: int
    folder: Path

    @property
    def work(self) -> int:
        """Multiplications per image, in proportion to its time."""
        sizes = (self.config.inputs, *self.config.hidden, self.config.classes)
        return sum(a * b for a, b in pairwise(sizes))


@dataclass(frozen=True, slots=True)
class Tensors:
    """MNIST as the networks take it."""

    train_inputs: NDArray[np.float32]  # (60000, 784), −1…1
    train_targets: NDArray[np.float32]  # (60000, 10), one-hot
    test_inputs: NDArray[np.float32]  # (10000, 784)


def train_row(task: MnistTask, tell: Tell) -> Outcome:
    """Train a row and classify the test images; tells the loss of every epoch."""
    tensors = _tensors(task.folder)
    started = time.perf_counter()
    network, losses = train_as_published(task.config, task.seed, tensors, tell)
    with np.errstate(over="ignore", invalid="ignore"):
        scores = forward(network, tensors.test_inputs).z[-1]  # (10000, 10)
    return Outcome(
        np.asarray(scores.argmax(axis=1), dtype=np.int64),
        tuple(losses),
        time.perf_counter() - started,
        finite=bool(np.isfinite(scores).all()),
    )


def train_as_published(
    config: MLPConfig, seed: int, tensors: Tensors, tell: Tell
) -> tuple[Network, list[float]]:
    """Train from PyTorch's weights and batches for the seed."""
    torch.manual_seed(seed)
    network = Network(layers_of(build_mlp(config)), ACTIVATIONS["relu"], _COSTS[config.loss])
    losses = train(
        network,
        tensors.train_inputs,
        tensors.train_targets,
        orders=epoch_orders(len(tensors.train_inputs), config.epochs),
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        batch_size=config.batch_size,
        on_epoch=tell,
    )
    return network, losses


def layers_of(network: nn.Module) -> tuple[Layer, ...]:
    """Copies of the weights and biases of a network's linear layers."""
    return tuple(
        Layer(module.weight.detach().numpy().copy(), module.bias.detach().numpy().copy())
        for module in network.modules()
        if isinstance(module, nn.Linear)
    )


def epoch_orders(images: int, epochs: int) -> Iterator[NDArray[np.int64]]:
    """For each epoch a permutation, from torch's global generator, as `train_mlp` draws it."""
    for _ in range(epochs):
        order: NDArray[Any] = torch.randperm(images).numpy()
        yield order


def scale_inputs(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 28, 28) grey values → (N, 784) from −1 (ground) to 1 (ink)."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(127.5) - np.float32(1)


def make_tensors(data: Mnist) -> Tensors:
    """Scale the images and write the labels as one-hot rows."""
    return Tensors(
        scale_inputs(data.train_images),
        np.eye(CLASS_COUNT, dtype=np.float32)[data.train_labels],
        scale_inputs(data.test_images),
    )


@cache
def _tensors(folder: Path) -> Tensors:
    """Read the files once for all rows that a process trains."""
    return make_tensors(read_mnist(folder))
