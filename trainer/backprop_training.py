"""Train the digits by hand and by PyTorch, from the same weights, with the same batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from gurmukhi.dataset import Split
from gurmukhi.labels import CLASS_COUNT
from gurmukhi.metrics import accuracy
from trainer.backprop import (
    ACTIVATIONS,
    COSTS,
    Array,
    Layer,
    Network,
    draw_layers,
    predict,
    train,
)
from trainer.backprop_check import TORCH_COSTS, parameters, torch_scores
from trainer.svm import scale_pixels

_HIDDEN: Final = (256, 64)  # as in the published MLP
EPOCHS: Final = 15
_BATCH: Final = 64
_MOMENTUM: Final = 0.9
# 0.003 is the published MLP's rate. The square error's slopes are smaller by σ′, at most a quarter;
# from 0.03 on its sigmoids saturate within the first epochs and stay there.
RATES: Final = {
    "mean square error": 0.01,
    "categorical cross-entropy": 0.003,
    "multi-label cross-entropy": 0.003,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Where the two trainings end, on the test images."""

    cost: str
    by_hand: NDArray[np.int64]  # (N,) labels
    by_torch: NDArray[np.int64]  # (N,)
    accuracy: float  # of those by hand
    weight_difference: float  # the largest, by the largest weight

    @property
    def same(self) -> bool:
        """Whether every label is the same."""
        return bool((self.by_hand == self.by_torch).all())


def compare_training(
    training: Split, test: Split, seed: int, cost: str, tell: Callable[[float], None]
) -> Comparison:
    """Train under one cost, in float64; tells the loss of every epoch by hand."""
    generator = np.random.default_rng(seed)
    inputs, test_inputs = scale_pixels(training.images), scale_pixels(test.images)
    targets = np.eye(CLASS_COUNT)[training.labels]
    layers = draw_layers((inputs.shape[1], *_HIDDEN, CLASS_COUNT), generator)
    orders = [generator.permutation(len(inputs)) for _ in range(EPOCHS)]
    # PyTorch starts from copies, since `train` changes the layers in place.
    leaves = [torch.from_numpy(values.copy()).requires_grad_() for values in parameters(layers)]
    network = Network(layers, ACTIVATIONS["relu"], COSTS[cost])
    train(
        network,
        inputs,
        targets,
        orders=orders,
        learning_rate=RATES[cost],
        momentum=_MOMENTUM,
        batch_size=_BATCH,
        on_epoch=tell,
    )
    by_hand = predict(network, test_inputs)
    by_torch = _train_torch(cost, leaves, inputs, targets, orders, test_inputs)
    return Comparison(
        cost,
        by_hand,
        by_torch,
        accuracy(test.labels, by_hand),
        _largest_difference(layers, leaves),
    )


def _train_torch(
    cost: str,
    leaves: Sequence[torch.Tensor],
    inputs: Array,
    targets: Array,
    orders: Sequence[NDArray[np.int64]],
    test_inputs: Array,
) -> NDArray[np.int64]:
    """The same training by autograd and PyTorch's SGD; returns the test images' labels."""
    pairs = list(zip(leaves[::2], leaves[1::2], strict=True))
    optimizer = torch.optim.SGD(leaves, lr=RATES[cost], momentum=_MOMENTUM)
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    for order in orders:
        for batch in torch.from_numpy(order).split(_BATCH):
            optimizer.zero_grad()
            TORCH_COSTS[cost](torch_scores(pairs, "relu", x[batch]), y[batch]).backward()
            optimizer.step()
    with torch.inference_mode():
        scores = torch_scores(pairs, "relu", torch.from_numpy(test_inputs))
    return np.asarray(scores.argmax(dim=1).numpy(), dtype=np.int64)


def _largest_difference(layers: Sequence[Layer], leaves: Sequence[torch.Tensor]) -> float:
    theirs = [leaf.detach().numpy() for leaf in leaves]
    pairs = zip(parameters(layers), theirs, strict=True)
    difference = max(float(np.abs(ours - other).max()) for ours, other in pairs)
    return difference / max(float(np.abs(other).max()) for other in theirs)
