"""The audit counts, and finds what repeats."""

import numpy as np
from data_folders import IMAGES, LABELS
from hypothesis import given
from hypothesis import strategies as st

from gurmukhi.audit import audit_split, measure_leakage
from gurmukhi.dataset import Split, make_split
from gurmukhi.synthetic import synthetic_digits


def split_of(indices: list[int], stem: str = "s") -> Split:
    names = (f"{stem}/{LABELS[i]}/{n}" for n, i in enumerate(indices))
    return make_split(IMAGES[indices], LABELS[indices], names)


def test_classes_are_counted() -> None:
    assert audit_split(split_of(list(range(20)))).class_counts == [2] * 10
    assert audit_split(split_of([0])).class_counts[LABELS[0]] == 1


def test_each_duplicate_is_paired_with_the_first_of_its_kind() -> None:
    split = split_of([4, 7, 4, 4])
    pairs = [(split.names[0], split.names[2]), (split.names[0], split.names[3])]
    assert audit_split(split).duplicates == pairs


def test_ink_and_border_are_shares() -> None:
    images = np.full((2, 32, 32), 255, np.uint8)
    images[0, :16] = 0  # half of it ink, and of its border 32 + 2 · 15 of 124 pixels
    audit = audit_split(make_split(images, LABELS[:2], "ab"))
    assert audit.ink_share == 0.25
    assert audit.border_ink_max == 62 / 124


def test_identical_and_near_images_are_told_apart() -> None:
    train = split_of([0, 1, 2], "train")
    images = np.stack([IMAGES[1], IMAGES[2], IMAGES[9]])
    images[1, 0, :10] ^= 255  # 10 pixels differ
    test = make_split(images, LABELS[[1, 2, 9]], ("a", "b", "c"))
    leakage = measure_leakage(train, test)
    assert leakage.identical == [("a", train.names[1])]
    assert leakage.distances[:2].tolist() == [0, 10]
    assert leakage.near.tolist() == [True, True, False]


@given(st.integers(1, 40), st.integers(0, 100))
def test_distances_are_those_of_every_pair(count: int, seed: int) -> None:
    images, labels = synthetic_digits(60, seed)
    train = make_split(images[count:], labels[count:], map(str, range(count, 60)))
    test = make_split(images[:count], labels[:count], map(str, range(count)))
    differ = (test.images[:, None] != train.images[None]).sum(axis=(2, 3))
    assert np.array_equal(measure_leakage(train, test).distances, differ.min(axis=1))


def test_more_test_images_than_are_compared_at_once() -> None:
    images, labels = synthetic_digits(1100, 8)
    everything = make_split(images, labels, map(str, range(1100)))
    assert not measure_leakage(everything, everything).distances.any()
