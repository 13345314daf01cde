"""Back-propagation by hand agrees with autograd, with differences, and with its documentation."""

import inspect
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from gurmukhi.command import Parser, run
from gurmukhi.sources import find_source
from trainer import backprop, backprop_check, backprop_command
from trainer.backprop import (
    ACTIVATIONS,
    COSTS,
    Cost,
    Layer,
    Network,
    draw_layers,
    forward,
    train,
)
from trainer.backprop_check import AUTOGRAD_BOUND, DIFFERENCE_BOUND, check_gradients
from trainer.backprop_training import compare_training
from trainer.flags import add_backprop_flags

_PAGE = Path(__file__).parent.parent / "docs" / "backpropagation.md"


def backprop_main(*words: str) -> int:
    parser = Parser("gurmukhi-train backprop", "test")
    add_backprop_flags(parser)
    return run(parser, backprop_command.command, words)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_gradient_is_within_both_bounds(seed: int) -> None:
    checks = list(check_gradients(seed))
    assert max(check.autograd_error for check in checks) <= AUTOGRAD_BOUND
    assert max(check.difference_error for check in checks) <= DIFFERENCE_BOUND
    assert {check.cost for check in checks} == set(COSTS)
    assert {check.hidden for check in checks} == set(ACTIVATIONS)
    assert {check.parameter for check in checks} == {"W^1", "b^1", "W^2", "b^2", "W^3", "b^3"}


def test_multi_label_targets_need_not_be_one_hot() -> None:
    kinds = {c.targets for c in check_gradients(0) if c.cost == "multi-label cross-entropy"}
    assert kinds == {"one-hot", "several labels", "any in 0…1"}


@pytest.mark.parametrize("cost", COSTS)
def test_a_wrong_output_delta_is_caught(cost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = COSTS[cost]
    wrong = Cost(right.output, right.value, lambda z, y: right.delta(z, y) * (1 + 1e-5))
    monkeypatch.setitem(COSTS, cost, wrong)
    assert {check.cost for check in check_gradients(0) if not check.holds} == {cost}


def test_a_wrong_slope_is_caught_in_the_layers_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        ACTIVATIONS, "sigmoid", backprop.Activation(backprop.sigmoid, backprop.relu_slope)
    )
    caught = {(c.hidden, c.parameter) for c in check_gradients(0) if not c.holds}
    assert caught == {("sigmoid", name) for name in ("W^1", "b^1", "W^2", "b^2")}


def test_an_error_that_is_no_number_is_over_its_bound() -> None:
    nan = float("nan")
    assert not backprop_check.Check("c", "h", "t", "W^1", nan, 0.0).holds
    assert not backprop_check.Check("c", "h", "t", "W^1", 0.0, nan).holds


def test_a_broken_gradient_ends_the_command_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = COSTS["mean square error"]
    monkeypatch.setitem(
        COSTS,
        "mean square error",
        Cost(right.output, right.value, lambda z, y: backprop.sigmoid(z) - y),
    )
    monkeypatch.setattr(backprop_command, "_compare", lambda *_: [])
    assert backprop_main("--data", "synthetic:20") == 1
    assert "OVER ITS BOUND: W^1 of mean square error" in capsys.readouterr().out


def test_the_command_prints_gradients_before_and_after(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backprop_command, "_compare", lambda *_: [])
    assert backprop_main("--data", "synthetic:20") == 0
    shown = capsys.readouterr().out
    before, after = shown.split("after the backward pass")[:2]
    assert "∂C/∂W^1 = [[0.00000" in before
    assert re.search(r"∂C/∂b\^2 = \[ ?-?0\.\d*[1-9]", after)
    assert "132 gradients" in shown


def test_a_sigmoid_of_huge_values_neither_overflows_nor_warns() -> None:
    z = np.array([[-1e4, 0.0, 1e4]])
    assert backprop.sigmoid(z).tolist() == [[0.0, 0.5, 1.0]]
    assert backprop.softmax(z).tolist() == [[0.0, 0.0, 1.0]]
    assert backprop.multi_label_cross_entropy(z, np.array([[0.0, 0.0, 1.0]])) == pytest.approx(
        math.log(2)
    )


def test_training_follows_pytorch_s_own_sgd() -> None:
    generator = np.random.default_rng(0)
    layers = draw_layers((8, 6, 3), generator)
    inputs = generator.uniform(-1, 1, (50, 8))
    labels = generator.integers(0, 3, 50)
    orders = [generator.permutation(50) for _ in range(4)]
    leaves = [
        torch.from_numpy(v.copy()).requires_grad_() for v in backprop_check.parameters(layers)
    ]
    network = Network(layers, ACTIVATIONS["relu"], COSTS["categorical cross-entropy"])
    train(network, inputs, np.eye(3)[labels], orders=orders, learning_rate=0.1, batch_size=16)
    optimizer = torch.optim.SGD(leaves, lr=0.1, momentum=0.9)
    for order in orders:
        for batch in np.split(order, [16, 32, 48]):
            optimizer.zero_grad()
            hidden = torch.relu(torch.from_numpy(inputs[batch]) @ leaves[0].T + leaves[1])
            scores = hidden @ leaves[2].T + leaves[3]
            torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels[batch])).backward()
            optimizer.step()
    for ours, theirs in zip(backprop_check.parameters(layers), leaves, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_float32_stays_float32() -> None:
    generator = np.random.default_rng(0)
    layers = tuple(
        Layer(layer.weights.astype(np.float32), layer.biases.astype(np.float32))
        for layer in draw_layers((4, 3, 10), generator)
    )
    inputs = generator.uniform(-1, 1, (6, 4)).astype(np.float32)
    for cost in COSTS.values():
        for hidden in ACTIVATIONS.values():
            network = Network(layers, hidden, cost)
            trace = forward(network, inputs)
            gradients = backprop.backward(network, trace, np.eye(10, dtype=np.float32)[:6])
            assert {v.dtype for v in backprop_check.parameters(gradients)} == {np.dtype("f4")}


def test_weights_past_all_numbers_are_a_result_and_no_error() -> None:
    generator = np.random.default_rng(0)
    network = Network(
        draw_layers((4, 5, 10), generator), ACTIVATIONS["relu"], COSTS["mean divergence"]
    )
    inputs = generator.uniform(-1, 1, (20, 4)) * 1e200
    losses = train(
        network,
        inputs,
        np.eye(10)[:2].repeat(10, axis=0),
        orders=[np.arange(20)] * 4,
        learning_rate=1e200,
    )
    assert not math.isfinite(losses[-1])


@pytest.mark.parametrize("cost", ["categorical cross-entropy", "multi-label cross-entropy"])
def test_by_hand_and_by_pytorch_every_label_is_the_same(cost: str) -> None:
    source = find_source("synthetic:60")
    told: list[float] = []
    comparison = compare_training(source.split("train"), source.split("test"), 0, cost, told.append)
    assert comparison.same
    assert comparison.weight_difference < 1e-12
    assert len(told) == 15


@pytest.mark.slow
@pytest.mark.skipif("GURMUKHI_DATA_DIR" not in os.environ, reason="GURMUKHI_DATA_DIR is not set")
def test_the_real_digits_end_with_the_same_178_labels(capsys: pytest.CaptureFixture[str]) -> None:
    assert backprop_main("-q") == 0
    shown = capsys.readouterr().out
    assert shown.count("178/178") == 3
    assert "trained on the real digits" in shown


def named_functions() -> set[str]:
    rows = re.findall(r"^\| \(\d+\) \|.*\| `(\w+)` \|$", _PAGE.read_text("utf-8"), re.MULTILINE)
    return set(rows)


def test_the_page_names_only_functions_that_exist() -> None:
    assert [name for name in named_functions() if not callable(getattr(backprop, name, None))] == []


def test_the_page_derives_every_function() -> None:
    functions = {
        name
        for name, value in inspect.getmembers(backprop, inspect.isfunction)
        if value.__module__ == backprop.__name__
    }
    assert functions - named_functions() == {"draw_layers"}


def test_the_page_numbers_its_equations_in_order() -> None:
    numbers = re.findall(r"^\| \((\d+)\) \|", _PAGE.read_text("utf-8"), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
