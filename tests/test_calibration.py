"""Slopes make confidence equal accuracy, and never turn the order of two classes around."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.calibration import (
    Features,
    fit_slopes,
    measure_reliability,
    scale,
    scale_out_of_fold,
)


def overconfident(count: int = 4000) -> tuple[Features, NDArray[np.int64]]:
    """Logits of 10 classes that are three times what they should be, and labels."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (count, 10))
    shares = scale(logits[None], [1.0])
    labels = (shares.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return 3 * logits[None], labels


def test_the_slope_undoes_overconfidence() -> None:
    features, labels = overconfident()
    assert fit_slopes(features, labels) == pytest.approx((1 / 3,), rel=0.05)


def test_calibration_lowers_the_error_and_keeps_every_label() -> None:
    features, labels = overconfident()
    predictions = features[0].argmax(axis=1)
    before = scale(features, [1.0])
    after = scale_out_of_fold(features, labels, np.arange(len(labels)) % 5)
    assert np.array_equal(after.argmax(axis=1), predictions)
    assert measure_reliability(before, predictions, labels).error > 0.1
    assert measure_reliability(after, predictions, labels).error < 0.03


def test_slopes_are_finite_where_no_label_is_wrong() -> None:
    labels = np.arange(100) % 10
    (slope,) = fit_slopes(np.eye(10)[labels][None], labels)
    assert np.isfinite(slope)
    assert slope > 1


def test_a_perfectly_calibrated_answer_has_no_error() -> None:
    probabilities = np.full((10, 10), 0.5 / 9)
    probabilities[:, 3] = 0.5
    predictions = np.full(10, 3)
    labels = np.array([3] * 5 + [4] * 5)
    reliability = measure_reliability(probabilities, predictions, labels)
    assert reliability.error == pytest.approx(0)
    assert sum(reliability.counts) == 10


def test_certain_wrong_answers_have_the_largest_error() -> None:
    probabilities = np.eye(10)[np.zeros(4, dtype=np.int64)]
    reliability = measure_reliability(
        probabilities, np.zeros(4, dtype=np.int64), np.ones(4, dtype=np.int64)
    )
    assert reliability.error == 1
    assert np.isfinite(reliability.log_loss)
