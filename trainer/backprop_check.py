"""Check the gradients of `trainer.backprop` against autograd and against central differences."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainer.backprop import (
    ACTIVATIONS,
    COSTS,
    Array,
    Layer,
    Network,
    backward,
    draw_layers,
    forward,
)

# Both sides compute in float64, in another order: some hundred roundings of 1e-16.
AUTOGRAD_BOUND: Final = 1e-10
# A central difference is off by h² and by the cost's rounding over h.
DIFFERENCE_BOUND: Final = 1e-6
_STEP: Final = 1e-5  # h; both errors are then some 1e-10

# Small enough to move each weight in turn, and still with two hidden layers.
_SIZES: Final = (12, 9, 7, 10)
_IMAGES: Final = 6

# The same costs in PyTorch, of z^H and the targets, for autograd to take apart.
TORCH_COSTS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "mean square error": lambda z, y: 0.5 * (torch.sigmoid(z) - y).square().sum() / len(z),
    "categorical cross-entropy": F.cross_entropy,
    "multi-label cross-entropy": lambda z, y: (
        F.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z)
    ),
    "square error of logarithms": lambda z, y: F.mse_loss(z.log_softmax(dim=1), y),
    # What reduction="mean" does; PyTorch says that it will mean something else one day.
    "mean divergence": lambda z, y: F.kl_div(z.log_softmax(dim=1), y, reduction="sum") / z.numel(),
}
TORCH_ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}

TARGETS: Final[dict[str, Callable[[np.random.Generator, int, int], Array]]] = {
    "one-hot": lambda generator, images, classes: np.eye(classes)[
        generator.integers(0, classes, images)
    ],
    # Several labels of an image are right at once, or none: rows do not add up to 1.
    "several labels": lambda generator, images, classes: generator.integers(
        0, 2, (images, classes)
    ).astype(np.float64),
    "any in 0…1": lambda generator, images, classes: generator.random((images, classes)),
}
# δ^H = a − y of a softmax holds only for targets that add up to 1.
_ANY_TARGETS: Final = (
    "mean square error",
    "multi-label cross-entropy",
    "square error of logarithms",
)


@dataclass(frozen=True, slots=True)
class Check:
    """The errors of one parameter's gradient: the largest difference, by the largest entry."""

    cost: str
    hidden: str
    targets: str
    parameter: str  # such as "W^2"
    autograd_error: float
    difference_error: float

    @property
    def holds(self) -> bool:
        """Whether both errors are within their bounds; an error that is no number is not."""
        return self.autograd_error <= AUTOGRAD_BOUND and self.difference_error <= DIFFERENCE_BOUND


def check_gradients(seed: int) -> Iterator[Check]:
    """Check every weight and bias under every cost, activation and kind of targets."""
    for cost in COSTS:
        for hidden in ACTIVATIONS:
            for kind in TARGETS if cost in _ANY_TARGETS else ("one-hot",):
                generator = np.random.default_rng(seed)
                network = Network(draw_layers(_SIZES, generator), ACTIVATIONS[hidden], COSTS[cost])
                inputs = generator.uniform(-1, 1, (_IMAGES, _SIZES[0]))
                targets = TARGETS[kind](generator, _IMAGES, _SIZES[-1])
                by_hand = backward(network, forward(network, inputs), targets)
                by_autograd = autograd_gradients(network.layers, hidden, cost, inputs, targets)
                by_difference = difference_gradients(network, inputs, targets)
                for name, ours, auto, difference in zip(
                    _names(network.layers),
                    parameters(by_hand),
                    parameters(by_autograd),
                    parameters(by_difference),
                    strict=True,
                ):
                    yield Check(
                        cost,
                        hidden,
                        kind,
                        name,
                        relative_error(ours, auto),
                        relative_error(ours, difference),
                    )


def parameters(layers: Iterable[Layer]) -> list[Array]:
    """W^1, b^1, W^2, b^2 and so on."""
    return [values for layer in layers for values in (layer.weights, layer.biases)]


def _names(layers: Sequence[Layer]) -> list[str]:
    return [f"{kind}^{level}" for level in range(1, len(layers) + 1) for kind in "Wb"]


def relative_error(gradient: Array, reference: Array) -> float:
    """The largest difference between two gradients, by the largest entry of the reference."""
    return float(np.abs(gradient - reference).max() / np.abs(reference).max())


def autograd_gradients(
    layers: Sequence[Layer], hidden: str, cost: str, inputs: Array, targets: Array
) -> tuple[Layer, ...]:
    """What PyTorch's autograd makes of the same network and cost, in the inputs' dtype."""
    leaves = [(_leaf(layer.weights), _leaf(layer.biases)) for layer in layers]
    z = torch_scores(leaves, hidden, torch.from_numpy(inputs))
    TORCH_COSTS[cost](z, torch.from_numpy(targets)).backward()
    return tuple(Layer(_gradient(weights), _gradient(biases)) for weights, biases in leaves)


def torch_scores(leaves: Sequence[tuple[Tensor, Tensor]], hidden: str, inputs: Tensor) -> Tensor:
    """z^H of a batch."""
    z = a = inputs
    for weights, biases in leaves:
        z = F.linear(a, weights, biases)
        a = TORCH_ACTIVATIONS[hidden](z)
    return z


def difference_gradients(network: Network, inputs: Array, targets: Array) -> tuple[Layer, ...]:
    """(C(w + h) − C(w − h)) / 2h for each weight and bias in turn."""

    def cost() -> float:
        return network.cost.value(forward(network, inputs).z[-1], targets)

    def slope_of(values: Array) -> Array:
        slopes = np.empty_like(values)
        for place in np.ndindex(values.shape):
            value = values[place]
            values[place] = value + _STEP
            above = cost()
            values[place] = value - _STEP
            slopes[place] = (above - cost()) / (2 * _STEP)
            values[place] = value
        return slopes

    return tuple(Layer(slope_of(layer.weights), slope_of(layer.biases)) for layer in network.layers)


def _leaf(values: Array) -> Tensor:
    return torch.from_numpy(values.copy()).requires_grad_()


def _gradient(leaf: Tensor) -> NDArray[np.float64]:
    if leaf.grad is None:
        raise RuntimeError("autograd gave no gradient")
    return leaf.grad.numpy()
