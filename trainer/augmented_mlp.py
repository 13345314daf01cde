"""The MLP of version 2: batch norm and dropout, and every image drawn anew in every epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gurmukhi.labels import CLASS_COUNT
from trainer.augment import Augmentation, augment, read_ink
from trainer.rejects import draw_rejects


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentedMLPConfig:
    """A network and its training by AdamW, the learning rate rising for a tenth of the time."""

    hidden: tuple[int, ...]
    augmentation: Augmentation
    epochs: int
    learning_rate: float = 0.002  # the highest
    weight_decay: float = 0.0001
    dropout: float = 0.3
    batch_size: int = 100
    rejects: float = 0.0  # pictures of no digit beside the digits, as a share of them
    inputs: int = 1024
    classes: int = CLASS_COUNT


def train_augmented_mlp(
    config: AugmentedMLPConfig,
    images: NDArray[np.uint8],  # (N, 32, 32)
    labels: NDArray[np.int64],  # (N,)
    *,
    seed: int,
    on_epoch: Callable[[float], None] = lambda loss: None,
) -> nn.Sequential:
    """Train from scratch; returns a plain network, its batch norms folded into its layers.

    Same seed and thread count, same weights. `on_epoch` is called with the epoch's mean loss.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = _build(config)
    # Its one kernel updates all weights; the loop over them would take a tenth of the time.
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    ink = read_ink(images)
    one_hot = F.one_hot(torch.from_numpy(labels), CLASS_COUNT).to(torch.float32)
    rejects = round(config.rejects * len(images))
    # A picture of no digit is as much each digit as any other (Hendrycks, Mazeika and Dietterich,
    # "Deep Anomaly Detection with Outlier Exposure", 2019).
    targets = torch.cat([one_hot, torch.full((rejects, CLASS_COUNT), 1 / CLASS_COUNT)])
    batches = len(targets) // config.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * batches, pct_start=0.1
    )
    for _ in range(config.epochs):
        drawn = augment(ink, config.augmentation, generator)
        if rejects:
            drawn = torch.cat([drawn, draw_rejects(drawn, rejects, generator)])
        inputs = 1 - 2 * drawn.flatten(1)  # −1 ink, 1 paper
        total = torch.zeros(())
        # A short batch would leave batch norm with poor statistics; other images miss each epoch.
        for batch in torch.randperm(len(inputs))[: batches * config.batch_size].chunk(batches):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        on_epoch(float(total) / batches)
    return _folded(network.eval())


def scaled_logits(network: nn.Sequential, slope: float) -> nn.Sequential:
    """The network with its logits multiplied by a calibrated slope, one over the temperature.

    The slope goes into the last layer, so the label stays and the graph keeps its size.
    """
    layers = list(network)
    last = layers[-2]
    if not isinstance(last, nn.Linear):
        raise TypeError(f"the last but one layer is {last}, expected a linear one")
    layers[-2] = _linear(last.weight * slope, last.bias * slope)
    return nn.Sequential(*layers).eval()


def _build(config: AugmentedMLPConfig) -> nn.Sequential:
    """Linear, batch norm, ReLU, dropout; the last layer gives logits: (B, inputs) → (B, 10)."""
    widths = (config.inputs, *config.hidden)
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [
            nn.Linear(width_in, width_out, bias=False),  # the batch norm has one
            nn.BatchNorm1d(width_out),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        ]
    return nn.Sequential(*layers, nn.Linear(widths[-1], config.classes))


def _folded(network: nn.Sequential) -> nn.Sequential:
    """Linear layers with ReLU between them and log-softmax at the end, which say the same.

    What is exported is then what is evaluated, operator by operator.
    """
    layers: list[nn.Module] = []
    for layer in network:
        if isinstance(layer, nn.BatchNorm1d):
            linear = layers.pop()
            if not isinstance(linear, nn.Linear):
                raise TypeError(f"a batch norm follows {linear}, expected a linear layer")
            layers.append(_merged(linear, layer))
        elif not isinstance(layer, nn.Dropout):
            layers.append(layer)
    return nn.Sequential(*layers, nn.LogSoftmax(dim=1)).eval()


def _merged(linear: nn.Linear, norm: nn.BatchNorm1d) -> nn.Linear:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise TypeError(f"{norm} keeps no statistics")
    gain = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)  # (out,)
    weights = linear.weight.double() * gain[:, None]
    return _linear(weights, norm.bias.double() - mean.double() * gain)


def _linear(weights: Tensor, biases: Tensor) -> nn.Linear:
    width_out, width_in = weights.shape
    layer = nn.Linear(width_in, width_out)
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.copy_(biases)
    return layer
