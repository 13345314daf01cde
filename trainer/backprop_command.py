"""The command `gurmukhi-train backprop`: back-propagation by hand, shown and checked."""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Final

import numpy as np

from gurmukhi.dataset import Split
from gurmukhi.sources import find_source
from gurmukhi.terminal import format_table, progress
from trainer.backprop import ACTIVATIONS, COSTS, Layer, Network, backward, draw_layers, forward
from trainer.backprop_check import AUTOGRAD_BOUND, DIFFERENCE_BOUND, Check, check_gradients
from trainer.backprop_training import EPOCHS, RATES, Comparison, compare_training
from trainer.workers import run_tasks

_EXIT_OVER_BOUND: Final = 1
_SHOWN: Final = {
    "mean square error": "(a) mean square error:  δ^H = (a − y) ⊙ σ′(z^H)",
    "categorical cross-entropy": "(b) softmax, categorical cross-entropy:  δ^H = a − y",
    "multi-label cross-entropy": "(c) sigmoid, multi-label cross-entropy:  δ^H = a − y",
}
_SHOWN_SIZES: Final = (4, 3, 3)  # small enough to be read
_SHOWN_IMAGES: Final = 2


def command(arguments: argparse.Namespace) -> int:
    """Show gradients, check them all, train by hand and by PyTorch; 1 if a bound is exceeded."""
    source = find_source(arguments.data)
    training, test = source.split("train"), source.split("test")
    for cost, title in _SHOWN.items():
        print(f"{title}\n{show_gradients(cost, arguments.seed)}\n")  # noqa: T201
    checks = list(check_gradients(arguments.seed))
    print(_describe_checks(checks))  # noqa: T201
    comparisons = _compare(training, test, arguments)
    print(_describe_trainings(comparisons, source.kind))  # noqa: T201
    over = [check for check in checks if not check.holds]
    differing = [comparison.cost for comparison in comparisons if not comparison.same]
    for check in over:
        print(  # noqa: T201
            f"OVER ITS BOUND: {check.parameter} of {check.cost}, {check.hidden}, {check.targets}: "
            f"autograd {check.autograd_error:.1e}, difference {check.difference_error:.1e}"
        )
    for cost in differing:
        print(f"OTHER LABELS than PyTorch's: {cost}")  # noqa: T201
    return _EXIT_OVER_BOUND if over or differing else 0


def _compare(training: Split, test: Split, arguments: argparse.Namespace) -> list[Comparison]:
    """Compare the trainings under every derived cost, in processes of their own."""
    with progress("training", EPOCHS * len(RATES), quiet=arguments.quiet) as shown:
        found = dict(
            run_tasks(
                partial(compare_training, training, test, arguments.seed),
                RATES,
                jobs=len(os.sched_getaffinity(0)),
                on_word=lambda cost, loss: shown.advance(note=f"{cost}: loss {loss:.4f}"),
            )
        )
    return [found[cost] for cost in RATES]


def show_gradients(cost: str, seed: int) -> str:
    """The gradients of a small network before and after the backward pass."""
    generator = np.random.default_rng(seed)
    network = Network(draw_layers(_SHOWN_SIZES, generator), ACTIVATIONS["sigmoid"], COSTS[cost])
    inputs = generator.uniform(-1, 1, (_SHOWN_IMAGES, _SHOWN_SIZES[0]))
    targets = np.eye(_SHOWN_SIZES[-1])[:_SHOWN_IMAGES]
    gradients: Sequence[Layer] = [
        Layer(np.zeros_like(layer.weights), np.zeros_like(layer.biases)) for layer in network.layers
    ]
    before = _describe_gradients(gradients)
    gradients = backward(network, forward(network, inputs), targets)
    after = _describe_gradients(gradients)
    return f"before the backward pass\n{before}\nafter the backward pass\n{after}"


def _describe_gradients(gradients: Sequence[Layer]) -> str:
    lines = []
    for level, layer in enumerate(gradients, start=1):
        for name, values in (("W", layer.weights), ("b", layer.biases)):
            head = f"  ∂C/∂{name}^{level} = "
            text = np.array2string(
                values, precision=5, suppress_small=True, floatmode="fixed", prefix=head
            )
            lines.append(head + text)
    return "\n".join(lines)


def _describe_checks(checks: Sequence[Check]) -> str:
    rows = []
    for (cost, hidden, targets), group in groupby(
        checks, lambda check: (check.cost, check.hidden, check.targets)
    ):
        members = list(group)
        auto = max(members, key=lambda check: check.autograd_error)
        difference = max(members, key=lambda check: check.difference_error)
        rows.append(
            [
                cost,
                hidden,
                targets,
                f"{auto.autograd_error:.1e}",
                auto.parameter,
                f"{difference.difference_error:.1e}",
                difference.parameter,
                "yes" if all(check.holds for check in members) else "NO",
            ]
        )
    header = (
        "cost", "hidden", "targets", "autograd", "worst", "difference", "worst", "within",
    )  # fmt: skip
    return (
        f"{format_table(header, rows)}\n\n{len(checks)} gradients, float64; bounds: "
        f"{AUTOGRAD_BOUND:.0e} to autograd, {DIFFERENCE_BOUND:.0e} to central differences\n"
    )


def _describe_trainings(comparisons: Sequence[Comparison], kind: str) -> str:
    rows = [
        [
            comparison.cost,
            f"{comparison.accuracy:.4f}",
            f"{int((comparison.by_hand == comparison.by_torch).sum())}/{len(comparison.by_hand)}",
            f"{comparison.weight_difference:.1e}",
        ]
        for comparison in comparisons
    ]
    table = format_table(("cost", "accuracy", "labels as PyTorch's", "weights differ by"), rows)
    return f"trained on the {kind} digits, by hand and by PyTorch\n{table}"
