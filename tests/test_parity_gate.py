"""No graph passes the gate that answers otherwise than the model it came from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from test_graph import CONFIGS, fit, graph_of

from gurmukhi.errors import ParityError
from gurmukhi.synthetic import synthetic_digits
from trainer.model import Answers, Model
from trainer.parity import check_parity

Array = NDArray[Any]

SYNTHETIC = synthetic_digits(300, 32)[0]
GREY = np.random.default_rng(3).integers(0, 256, (50, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_true_graph_passes_on_any_pixels(name: str) -> None:
    images = {"synthetic": SYNTHETIC, "inverted": 255 - SYNTHETIC, "grey": GREY}
    parity, answers = check_parity(graph_of(name), fit(name), images)
    assert parity.images == 650
    assert parity.max_score_difference <= parity.tolerance == fit(name).score_tolerance
    assert len(answers["synthetic"].digits) == 300
    assert answers["grey"].scores.shape == (50, 10)


def with_weights(name: str, change: Callable[[Array], None]) -> bytes:
    """The graph with its largest table of weights changed; signs are none."""
    model = onnx.load_from_string(graph_of(name))
    floats = [one for one in model.graph.initializer if one.data_type in (1, 11)]
    tables = [(one, numpy_helper.to_array(one).copy()) for one in floats]
    weights = [(one, array) for one, array in tables if not np.isin(array, (-1, 0, 1)).all()]
    largest, array = max(weights, key=lambda pair: pair[1].size)
    change(array)
    largest.CopyFrom(numpy_helper.from_array(array, largest.name))
    return model.SerializeToString()


def one_weight(array: Array) -> None:
    array.reshape(-1)[array.size // 2] += 1


def not_a_number(array: Array) -> None:
    array.reshape(-1)[0] = np.nan


def all_weights_slightly(array: Array) -> None:
    array *= 1 + 1e-3


@pytest.mark.parametrize("change", [one_weight, not_a_number, all_weights_slightly])
@pytest.mark.parametrize("name", ["mlp", "linear", "poly", "sigmoid"])
def test_a_graph_with_other_weights_is_refused_with_its_images_named(
    name: str,
    change: Callable[[Array], None],
) -> None:
    with pytest.raises(ParityError, match=r"differs from the native model on \d+ of 300") as caught:
        check_parity(with_weights(name, change), fit(name), {"synthetic": SYNTHETIC})
    message = str(caught.value)
    assert "synthetic[" in message
    assert "\n" not in message
    assert len(message) < 500


class Answering:
    """A native model that says what it is told to."""

    score_tolerance = 1e-4
    near_tie_margin = 0.0

    def __init__(self, model: Model, change: Callable[[Answers], Answers]) -> None:
        self.model, self.change = model, change

    def answer(self, images: Array) -> Answers:
        return self.change(self.model.answer(images))

    def export(self) -> onnx.ModelProto:
        return self.model.export()


def another_label(answers: Answers) -> Answers:
    digits = answers.digits.copy()
    digits[7] = (digits[7] + 1) % 10
    return Answers(digits, answers.scores)


def scores_of_nan(answers: Answers) -> Answers:
    scores = answers.scores.copy()
    scores[11, 3] = np.nan
    return Answers(answers.digits, scores)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (another_label, r"on 1 of 300 synthetic images: synthetic\[7\] \(the label became \d\)"),
        (scores_of_nan, r"on 1 of 300 synthetic images: synthetic\[11\] \(scores differ by nan\)"),
    ],
)
def test_one_image_is_enough(change: Callable[[Answers], Answers], named: str) -> None:
    with pytest.raises(ParityError, match=named):
        check_parity(graph_of("linear"), Answering(fit("linear"), change), {"synthetic": SYNTHETIC})


def test_at_most_five_images_are_named() -> None:
    def all_labels(answers: Answers) -> Answers:
        return Answers((answers.digits + 1) % 10, answers.scores)

    with pytest.raises(ParityError, match=r"on 300 of 300 .* and 295 more") as caught:
        check_parity(
            graph_of("linear"), Answering(fit("linear"), all_labels), {"synthetic": SYNTHETIC}
        )
    assert str(caught.value).count("synthetic[") == 5


def test_a_near_tie_of_an_mlp_is_named_and_not_refused() -> None:
    def tied(answers: Answers) -> Answers:
        scores = answers.scores.copy()
        best, second = np.argsort(scores[5])[::-1][:2]
        scores[5, second] = scores[5, best] + 1e-6
        digits = answers.digits.copy()
        digits[5] = second
        return Answers(digits, scores)

    model = Answering(fit("mlp"), tied)
    model.score_tolerance, model.near_tie_margin = 100.0, 2e-5
    parity, _ = check_parity(graph_of("mlp"), model, {"synthetic": SYNTHETIC})
    assert parity.near_ties == ("synthetic[5]",)


def test_a_label_that_differs_without_a_tie_is_refused_of_an_mlp_too() -> None:
    model = Answering(fit("mlp"), another_label)
    model.near_tie_margin = 2e-5
    with pytest.raises(ParityError, match=r"synthetic\[7\]"):
        check_parity(graph_of("mlp"), model, {"synthetic": SYNTHETIC})


@pytest.mark.parametrize("count", [1, 511, 512, 513])
def test_images_are_all_checked_whatever_their_number(count: int) -> None:
    images = np.resize(SYNTHETIC, (count, 32, 32))
    parity, answers = check_parity(graph_of("linear"), fit("linear"), {"many": images})
    assert parity.images == len(answers["many"].digits) == count
