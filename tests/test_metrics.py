"""The figures of a result agree with their definitions."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gurmukhi.metrics import Labels, accuracy, class_wise_accuracy, confusion_matrix

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=200)


def arrays(pairs: list[tuple[int, int]]) -> tuple[Labels, Labels]:
    labels, predictions = np.array(pairs, np.int64).T
    return labels, predictions


@given(PAIRS)
def test_accuracy_is_the_share_of_equal_labels(pairs: list[tuple[int, int]]) -> None:
    assert accuracy(*arrays(pairs)) == sum(a == b for a, b in pairs) / len(pairs)


@given(PAIRS)
def test_the_matrix_counts_every_image_once(pairs: list[tuple[int, int]]) -> None:
    matrix = confusion_matrix(*arrays(pairs))
    assert matrix.shape == (10, 10)
    assert matrix.dtype == np.int64
    for label in range(10):
        for predicted in range(10):
            assert matrix[label, predicted] == pairs.count((label, predicted))


@given(PAIRS)
def test_class_wise_accuracy_is_one_against_the_rest(pairs: list[tuple[int, int]]) -> None:
    expected = [sum((a == c) == (b == c) for a, b in pairs) / len(pairs) for c in range(10)]
    assert np.allclose(class_wise_accuracy(*arrays(pairs)), expected, rtol=0, atol=1e-15)


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(
    pairs: list[tuple[int, int]],
    random: Random,
) -> None:
    mixed = list(pairs)
    random.shuffle(mixed)
    assert np.array_equal(confusion_matrix(*arrays(pairs)), confusion_matrix(*arrays(mixed)))
    assert accuracy(*arrays(pairs)) == accuracy(*arrays(mixed))


@given(PAIRS)
def test_the_figures_follow_from_the_matrix(pairs: list[tuple[int, int]]) -> None:
    matrix = confusion_matrix(*arrays(pairs))
    assert accuracy(*arrays(pairs)) == np.trace(matrix) / matrix.sum()
    missed = matrix.sum(axis=1) + matrix.sum(axis=0) - 2 * np.diag(matrix)
    expected = 1 - missed / matrix.sum()
    assert np.allclose(class_wise_accuracy(*arrays(pairs)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("figure", [accuracy, class_wise_accuracy, confusion_matrix])
@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([], [], "an empty split has no accuracy"),
        ([1, 2], [1], "do not pair"),
        ([[1, 2]], [[1, 2]], "do not pair"),
        ([10], [1], "the label 10 is none of 0 to 9"),
        ([1], [-1], "the prediction -1 is none of 0 to 9"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    figure: object, labels: list[int], predictions: list[int], message: str
) -> None:
    assert callable(figure)
    with pytest.raises(ValueError, match=message):
        figure(np.array(labels, np.int64), np.array(predictions, np.int64))
