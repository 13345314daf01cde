"""Synthetic digits repeat exactly, keep their format and tell the ten classes apart."""

import hashlib

import numpy as np
import pytest

from gurmukhi.skeletons import DIGITS
from gurmukhi.strokes import read_families
from gurmukhi.synthetic import CHUNK, synthetic_digits


def test_same_seed_gives_the_same_images() -> None:
    images, labels = synthetic_digits(30, 7)
    again, again_labels = synthetic_digits(30, 7)
    assert np.array_equal(images, again)
    assert np.array_equal(labels, again_labels)


def test_the_images_are_the_same_on_every_machine() -> None:
    images, labels = synthetic_digits(2 * CHUNK, 2026)
    digest = hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest()
    assert digest == "940d128b2eab683dd1922b25964219ba3c341f4d04a18df9d01d868ac15d12cc"


def test_another_seed_gives_other_images() -> None:
    images, _ = synthetic_digits(30, 7)
    others, _ = synthetic_digits(30, 8)
    assert not np.array_equal(images, others)


def test_fewer_images_are_a_prefix_of_more() -> None:
    images, labels = synthetic_digits(CHUNK + 50, 7)
    fewer, fewer_labels = synthetic_digits(33, 7)
    assert np.array_equal(fewer, images[:33])
    assert np.array_equal(fewer_labels, labels[:33])


@pytest.mark.parametrize("start", [0, 1, CHUNK - 3, CHUNK, CHUNK + 21])
def test_start_skips_images(start: int) -> None:
    images, labels = synthetic_digits(start + 20, 7)
    later, later_labels = synthetic_digits(20, 7, start=start)
    assert np.array_equal(later, images[start:])
    assert np.array_equal(later_labels, labels[start:])


def test_every_ten_images_hold_each_digit_once_in_changing_order() -> None:
    _, labels = synthetic_digits(CHUNK + 10, 7)
    tens = labels.reshape(-1, 10)
    assert np.array_equal(np.sort(tens, axis=1), np.tile(np.arange(10), (len(tens), 1)))
    assert len(np.unique(tens, axis=0)) > len(tens) // 2


def test_images_are_bilevel_and_touch_all_four_edges() -> None:
    images, labels = synthetic_digits(2000, 7)
    assert images.shape == (2000, 32, 32)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert set(np.unique(images)) == {0, 255}
    ink = images == 0
    for edge in (ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]):
        assert edge.any(axis=1).all()


def test_the_share_of_ink_is_that_of_handwriting() -> None:
    images, _ = synthetic_digits(2000, 7)
    ink = (images == 0).mean(axis=(1, 2))
    # the real images: 0.14 to 0.47, 0.27 on average
    assert 0.10 < ink.min() < ink.max() < 0.55
    assert 0.24 < ink.mean() < 0.30


def test_no_two_images_are_the_same() -> None:
    images, _ = synthetic_digits(2000, 7)
    assert len(np.unique(images.reshape(2000, -1), axis=0)) == 2000


def test_the_nearest_mean_image_tells_most_digits() -> None:
    images, labels = synthetic_digits(2000, 7)
    ink = (images == 0).reshape(2000, -1).astype(np.float64)
    seen, unseen = slice(0, 1000), slice(1000, 2000)
    means = np.stack([ink[seen][labels[seen] == digit].mean(axis=0) for digit in range(10)])
    distances = ((ink[unseen, None] - means) ** 2).sum(axis=2)
    # about 0.88 when written; chance is 0.1
    assert (distances.argmin(axis=1) == labels[unseen]).mean() > 0.75


@pytest.mark.parametrize("label", range(10))
def test_hands_lie_in_the_glyphs_box(label: int) -> None:
    for family in read_families(DIGITS[label].hands, positions=50):
        assert np.abs(family.hands[..., :2]).max() <= 1
        assert family.weight > 0


def test_no_images_are_an_empty_array() -> None:
    images, labels = synthetic_digits(0, 7)
    assert images.shape == (0, 32, 32)
    assert labels.shape == (0,)


@pytest.mark.parametrize(
    ("count", "seed", "start", "message"),
    [
        (-1, 0, 0, "count is -1, expected 0 or more"),
        (1, -2, 0, "seed is -2, expected 0 or more"),
        (1, 0, -3, "start is -3, expected 0 or more"),
    ],
)
def test_a_negative_argument_is_named(count: int, seed: int, start: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic_digits(count, seed, start=start)
