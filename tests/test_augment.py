"""Images drawn anew stay bilevel, stay in the frame, and repeat with their seed."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gurmukhi.synthetic import synthetic_digits
from trainer.augment import Augmentation, augment, read_ink, virtual_examples
from trainer.rejects import draw_rejects

HAND = Augmentation(rotation=15, shear=0.2, scale=0.15, shift=2, elastic=1.2, pen=0.6)
SOILED = Augmentation(rotation=15, soiled=0.5, blur=1.2, speckle=0.1, noise=0.35, patch=9)


def images(count: int = 20) -> NDArray[np.uint8]:
    return synthetic_digits(count, 7)[0]


def drawn(settings: Augmentation, seed: int = 0) -> torch.Tensor:
    return augment(read_ink(images()), settings, torch.Generator().manual_seed(seed))


def test_no_augmentation_leaves_images_as_they_are() -> None:
    assert torch.equal(drawn(Augmentation()), read_ink(images()))


def test_a_hand_draws_bilevel_images_that_differ() -> None:
    ink = drawn(HAND)
    assert ink.shape == (20, 32, 32)
    assert set(ink.unique().tolist()) == {0.0, 1.0}
    assert (ink != read_ink(images())).any(dim=(1, 2)).all()


def test_soiled_images_are_grey_and_within_ink_and_paper() -> None:
    ink = drawn(SOILED)
    assert ((ink > 0) & (ink < 1)).any()
    assert 0 <= ink.min() <= ink.max() <= 1 + 1e-6  # rounding in the blur


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    assert torch.equal(drawn(SOILED), drawn(SOILED))
    assert not torch.equal(drawn(SOILED), drawn(SOILED, seed=1))


def test_the_pen_alone_makes_strokes_thinner_and_thicker() -> None:
    before = read_ink(images()).sum(dim=(1, 2))
    after = drawn(Augmentation(pen=1.0)).sum(dim=(1, 2))
    assert (after > before * 1.1).any()
    assert (after < before * 0.9).any()


def test_a_shift_moves_ink_by_no_more_than_its_bound() -> None:
    dot = np.full((50, 32, 32), 255, dtype=np.uint8)
    dot[:, 14:18, 14:18] = 0
    moved = augment(read_ink(dot), Augmentation(shift=3), torch.Generator().manual_seed(0))
    rows, columns = torch.nonzero(moved, as_tuple=True)[1:]
    for places in (rows, columns):
        assert 10 <= places.min() < 14
        assert 17 < places.max() <= 21


def test_virtual_examples_follow_the_images_with_their_labels() -> None:
    given, labels = synthetic_digits(20, 7)
    examples, named = virtual_examples(given, labels, HAND, copies=3, seed=0)
    assert examples.shape == (80, 32, 32)
    assert np.array_equal(examples[:20], given)
    assert np.array_equal(named, np.tile(labels, 4))
    assert set(np.unique(examples)) == {0, 255}


def test_no_copies_are_the_images_alone() -> None:
    given, labels = synthetic_digits(20, 7)
    examples, named = virtual_examples(given, labels, HAND, copies=0, seed=0)
    assert np.array_equal(examples, given)
    assert np.array_equal(named, labels)


def test_grey_virtual_examples_are_refused() -> None:
    given, labels = synthetic_digits(20, 7)
    with pytest.raises(ValueError, match="must be bilevel"):
        virtual_examples(given, labels, SOILED, copies=1, seed=0)


@pytest.mark.parametrize("count", [5, 7, 50])
def test_as_many_rejects_are_drawn_as_asked(count: int) -> None:
    rejects = draw_rejects(read_ink(images()), count, torch.Generator().manual_seed(0))
    assert rejects.shape == (count, 32, 32)
    assert 0 <= rejects.min() <= rejects.max() <= 1
