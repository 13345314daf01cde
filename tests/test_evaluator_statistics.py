"""Intervals, McNemar, class figures and latency figures against values worked out elsewhere."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.compare import HOLD, PROMOTE, advise
from evaluator.latency import histogram, quantiles, show_seconds
from evaluator.replay import empty_replay
from evaluator.statistics import class_figures, compare_pairs
from gurmukhi.metrics import class_wise_accuracy, confusion_matrix, mcnemar_exact, wilson_interval


@pytest.mark.parametrize(("correct", "count"), [(8, 10), (173, 178), (36, 178), (1, 2)])
def test_wilson_bounds_solve_the_score_equation(correct: int, count: int) -> None:
    # A bound p lies 1.96 standard errors, its own, from the observed share.
    share = correct / count
    for bound in wilson_interval(correct, count):
        error = math.sqrt(bound * (1 - bound) / count)
        assert abs(share - bound) / error == pytest.approx(1.959964, abs=1e-6)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share_and_stays_within_bounds(case: tuple[int, int]) -> None:
    correct, count = case
    low, high = wilson_interval(correct, count)
    assert 0 <= low <= correct / count + 1e-12
    assert correct / count - 1e-12 <= high <= 1


@pytest.mark.parametrize(("correct", "count"), [(0, 0), (2, 1), (-1, 5)])
def test_wilson_interval_of_no_share_raises(correct: int, count: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson_interval(correct, count)


@pytest.mark.parametrize(
    ("one", "other", "p"),
    [(0, 0, 1.0), (0, 2, 0.5), (5, 0, 0.0625), (1, 9, 22 / 1024), (3, 3, 1.0)],
)
def test_mcnemar_is_the_binomial_tail_doubled(one: int, other: int, p: float) -> None:
    assert mcnemar_exact(one, other) == pytest.approx(p)
    assert mcnemar_exact(other, one) == mcnemar_exact(one, other)


def test_mcnemar_of_a_million_images_is_computed() -> None:
    assert mcnemar_exact(500, 1000) < 1e-10


def test_pairs_count_each_image_once() -> None:
    labels = np.array([0, 1, 2, 3])
    paired = compare_pairs(labels, np.array([0, 1, 9, 8]), np.array([0, 5, 2, 7]))
    assert (paired.only_first, paired.only_second, paired.disagree) == (1, 1, 3)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_class_figures_of_a_matrix_are_those_of_its_answers(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    figures = class_figures(confusion_matrix(labels, predictions))
    assert figures.one_vs_rest == pytest.approx(class_wise_accuracy(labels, predictions))
    for digit in range(10):
        right = int(((labels == digit) & (predictions == digit)).sum())
        true, said = int((labels == digit).sum()), int((predictions == digit).sum())
        assert (
            math.isnan(figures.recall[digit])
            if not true
            else (figures.recall[digit] == pytest.approx(right / true))
        )
        assert (
            math.isnan(figures.precision[digit])
            if not said
            else (figures.precision[digit] == pytest.approx(right / said))
        )


def test_quantiles_are_values_that_were_seen_and_leave_out_lost_calls() -> None:
    seconds = np.array([0.001, 0.002, np.nan, 0.003])
    assert quantiles(seconds) == {"p50": 0.002, "p90": 0.003, "p99": 0.003, "p99.9": 0.003}
    assert quantiles(np.array([np.nan])) == {}


@given(st.lists(st.floats(1e-6, 100), max_size=50))
def test_histogram_holds_every_call_in_the_bin_of_its_length(values: list[float]) -> None:
    bins = histogram(np.array(values, np.float64))
    assert sum(one["calls"] for one in bins) == len(values)
    if values:
        assert bins[0]["from"] <= min(values) * (1 + 1e-9)
        assert bins[-1]["to"] >= max(values) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.000_25, "250 µs"), (0.0125, "12.50 ms"), (2.5, "2.50 s")]
)
def test_seconds_are_shown_in_the_unit_a_person_reads(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


@pytest.mark.parametrize(("slow", "advice"), [(0, PROMOTE), (5, PROMOTE), (10, HOLD), (40, HOLD)])
def test_a_few_hiccups_make_no_server_slower(slow: int, advice: str) -> None:
    labels = np.arange(40) % 10
    replays = (empty_replay(40), empty_replay(40))
    for replay in replays:
        replay.digits[:] = labels
        replay.seconds[:] = 0.0006
    replays[1].seconds[:slow] = 0.005
    paired = compare_pairs(labels, replays[0].digits, replays[1].digits)
    assert quantiles(replays[1].seconds)["p90"] > 0.004 or slow < 5
    assert advise(replays, paired)[0] == advice
