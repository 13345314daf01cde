"""Back-propagation by hand, in NumPy: forward pass, δ of every layer, gradients, descent.

The notation is that of `docs/backpropagation.md`: layer L takes a^(L−1) and gives
z^L = W^L a^(L−1) + b^L and a^L = f(z^L); δ^L is the derivative of the cost by z^L, and H is the
last layer. Images of a batch lie in rows, so the code's `a @ W.T` is the page's W a.
A cost is a mean over the images of its batch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]  # float32 or float64, as the network's weights are


@dataclass(frozen=True, slots=True)
class Layer:
    """W^L and b^L; also their gradients and their velocities, which have the same shapes."""

    weights: Array  # (out, in)
    biases: Array  # (out,)


@dataclass(frozen=True, slots=True)
class Activation:
    """f and, given z and a = f(z), its derivative f′(z)."""

    value: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Cost:
    """How the last layer ends: a^H from z^H, the cost C of targets y, and δ^H = ∂C/∂z^H."""

    output: Callable[[Array], Array]  # (B, K) z → (B, K) a
    value: Callable[[Array, Array], float]  # z, y → C
    delta: Callable[[Array, Array], Array]  # z, y → (B, K), without the 1/B of the batch's mean


@dataclass(frozen=True, slots=True)
class Network:
    """Fully connected layers; `hidden` follows every layer but the last, `cost` the last."""

    layers: tuple[Layer, ...]
    hidden: Activation
    cost: Cost


@dataclass(frozen=True, slots=True)
class Trace:
    """What a forward pass leaves for the backward pass: every z^L and a^L, a^0 the input."""

    z: list[Array]  # z[L - 1] is z^L
    a: list[Array]  # a[L] is a^L, as far as the last hidden layer


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + e^−z), by tanh, which does not overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def sigmoid_slope(z: Array, a: Array) -> Array:
    """σ′(z) = a (1 − a)."""
    return np.asarray(a * (1 - a))


def relu(z: Array) -> Array:
    """max(z, 0)."""
    return np.maximum(z, 0)


def relu_slope(z: Array, a: Array) -> Array:
    """1 where z > 0, else 0; at z = 0 it is 0, as in PyTorch."""
    return np.asarray(z > 0, dtype=z.dtype)


def softmax(z: Array) -> Array:
    """e^z_i / Σ_k e^z_k, shifted by the largest z so that nothing overflows."""
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_softmax(z: Array) -> Array:
    """z_i − ln Σ_k e^z_k."""
    shifted = z - z.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def mean_square_error(z: Array, y: Array) -> float:
    """C = ½ Σ_i (a_i − y_i)² with a = σ(z)."""
    return float(0.5 * np.square(sigmoid(z) - y).sum() / len(z))


def mean_square_error_delta(z: Array, y: Array) -> Array:
    """δ^H = (a − y) ⊙ σ′(z^H)."""
    a = sigmoid(z)
    return np.asarray((a - y) * sigmoid_slope(z, a))


def categorical_cross_entropy(z: Array, y: Array) -> float:
    """C = −Σ_i y_i ln a_i with a = softmax(z)."""
    return float(-(y * log_softmax(z)).sum() / len(z))


def categorical_cross_entropy_delta(z: Array, y: Array) -> Array:
    """δ^H = a − y, for targets that add up to 1."""
    return np.asarray(softmax(z) - y)


def multi_label_cross_entropy(z: Array, y: Array) -> float:
    """C = −Σ_i (y_i ln a_i + (1 − y_i) ln(1 − a_i)) with a = σ(z), in a form that keeps ln finite.

    ln σ(z) = −ln(1 + e^−z), and so C = Σ_i ln(1 + e^z_i) − y_i z_i.
    """
    return float((np.logaddexp(0, z) - y * z).sum() / len(z))


def multi_label_cross_entropy_delta(z: Array, y: Array) -> Array:
    """δ^H = a − y, whatever the targets add up to."""
    return np.asarray(sigmoid(z) - y)


def log_square_error(z: Array, y: Array) -> float:
    """C = 1/K Σ_i (ln a_i − y_i)² with a = softmax(z): the MNIST table's "MSE"."""
    return float(np.square(log_softmax(z) - y).mean())


def log_square_error_delta(z: Array, y: Array) -> Array:
    """δ^H = g − a Σ_k g_k, with g = 2/K (ln a − y)."""
    g = (log_softmax(z) - y) * (2 / z.shape[1])
    return np.asarray(g - softmax(z) * g.sum(axis=1, keepdims=True))


def mean_divergence(z: Array, y: Array) -> float:
    """C = 1/K Σ_i y_i (ln y_i − ln a_i): the MNIST table's "KL divergence", averaged over K too."""
    logs = np.log(np.where(y > 0, y, 1))
    return float((y * (logs - log_softmax(z))).mean())


def mean_divergence_delta(z: Array, y: Array) -> Array:
    """δ^H = (a − y) / K, for targets that add up to 1: a K-th of the cross-entropy's."""
    return np.asarray((softmax(z) - y) / z.shape[1])


ACTIVATIONS: Final = {
    "sigmoid": Activation(sigmoid, sigmoid_slope),
    "relu": Activation(relu, relu_slope),
}

COSTS: Final = {
    "mean square error": Cost(sigmoid, mean_square_error, mean_square_error_delta),
    "categorical cross-entropy": Cost(
        softmax, categorical_cross_entropy, categorical_cross_entropy_delta
    ),
    "multi-label cross-entropy": Cost(
        sigmoid, multi_label_cross_entropy, multi_label_cross_entropy_delta
    ),
    "square error of logarithms": Cost(softmax, log_square_error, log_square_error_delta),
    "mean divergence": Cost(softmax, mean_divergence, mean_divergence_delta),
}


def draw_layers(sizes: Sequence[int], generator: np.random.Generator) -> tuple[Layer, ...]:
    """Draw float64 layers of the given widths, uniform in ±1/√in as PyTorch does."""
    return tuple(
        Layer(
            generator.uniform(-1, 1, (width_out, width_in)) / np.sqrt(width_in),
            generator.uniform(-1, 1, width_out) / np.sqrt(width_in),
        )
        for width_in, width_out in pairwise(sizes)
    )


def forward(network: Network, inputs: Array) -> Trace:
    """z^L = W^L a^(L−1) + b^L and a^L = f(z^L), from the first layer to the last."""
    trace = Trace([], [inputs])
    for layer in network.layers:
        if trace.z:
            trace.a.append(network.hidden.value(trace.z[-1]))
        z = trace.a[-1] @ layer.weights.T  # (B, out)
        z += layer.biases
        trace.z.append(z)
    return trace


def hidden_delta(network: Network, trace: Trace, level: int, delta: Array) -> Array:
    """δ^L = ((W^(L+1))ᵀ δ^(L+1)) ⊙ f′(z^L); `delta` is δ^(L+1) and `level` is L."""
    back = delta @ network.layers[level].weights  # layers[L] is layer L + 1
    back *= network.hidden.slope(trace.z[level - 1], trace.a[level])
    return back


def layer_gradient(trace: Trace, level: int, delta: Array) -> Layer:
    """∂C/∂W^L = δ^L (a^(L−1))ᵀ and ∂C/∂b^L = δ^L, added up over the images."""
    return Layer(delta.T @ trace.a[level - 1], delta.sum(axis=0))


def backward(network: Network, trace: Trace, targets: Array) -> tuple[Layer, ...]:
    """Carry δ from the last layer to the first and collect every layer's gradient."""
    delta = network.cost.delta(trace.z[-1], targets)
    delta /= len(targets)  # C is a mean over the batch
    gradients = []
    for level in range(len(network.layers), 0, -1):
        gradients.append(layer_gradient(trace, level, delta))
        if level > 1:
            delta = hidden_delta(network, trace, level - 1, delta)
    return tuple(reversed(gradients))


def descend(
    network: Network,
    gradients: Iterable[Layer],
    velocities: Iterable[Layer],
    *,
    learning_rate: float,
    momentum: float,
) -> None:
    """v ← μ v + ∂C/∂W and W ← W − η v, in place; the same for b."""
    for layer, gradient, velocity in zip(network.layers, gradients, velocities, strict=True):
        for value, slope, speed in (
            (layer.weights, gradient.weights, velocity.weights),
            (layer.biases, gradient.biases, velocity.biases),
        ):
            speed *= momentum
            speed += slope
            np.multiply(speed, learning_rate, out=slope)
            value -= slope


def train(
    network: Network,
    inputs: Array,  # (N, in)
    targets: Array,  # (N, K)
    *,
    orders: Iterable[NDArray[np.int64]],  # for each epoch a permutation of the N images
    learning_rate: float,
    momentum: float = 0.9,
    batch_size: int = 64,
    on_epoch: Callable[[float], None] = lambda loss: None,
) -> list[float]:
    """Train in place by gradient descent with momentum; returns each epoch's mean cost.

    Weights that grow past all numbers are a result like any other: the cost is then not finite.
    """
    velocities = [
        Layer(np.zeros_like(layer.weights), np.zeros_like(layer.biases)) for layer in network.layers
    ]
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):
        for order in orders:
            costs = []
            for start in range(0, len(inputs), batch_size):
                # Gathered when its turn comes, a batch is still in the cache when it is used.
                batch = order[start : start + batch_size]
                y = targets[batch]
                trace = forward(network, inputs[batch])
                costs.append(network.cost.value(trace.z[-1], y))
                gradients = backward(network, trace, y)
                descend(
                    network, gradients, velocities, learning_rate=learning_rate, momentum=momentum
                )
            losses.append(float(np.mean(costs)))
            on_epoch(losses[-1])
    return losses


def predict(network: Network, inputs: Array) -> NDArray[np.int64]:
    """(N,) the class of the largest z^H; the first of equal ones, and 0 where none is a number."""
    return np.asarray(forward(network, inputs).z[-1].argmax(axis=1), dtype=np.int64)
