"""Corruptions do what their names say, repeatably; doubt is measured by its rank."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gurmukhi.synthetic import synthetic_digits
from trainer.corruptions import BOUNDED, CORRUPTIONS, Corruption
from trainer.novelty import auroc, non_digits

Images = NDArray[np.uint8]
BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}


@pytest.fixture(scope="module")
def images() -> Images:
    return synthetic_digits(20, 7)[0]


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_every_corruption_changes_images_repeatably(corruption: Corruption, images: Images) -> None:
    for strength in range(3):
        variants = corruption.apply(images, strength, 0)
        for variant, again in zip(variants, corruption.apply(images, strength, 0), strict=True):
            assert variant.shape == images.shape
            assert variant.dtype == np.uint8
            assert (variant != images).any(axis=(1, 2)).mean() > 0.5  # a patch may lie on paper
            assert np.array_equal(variant, again)


def test_the_nine_with_a_goal_are_those_of_the_specification() -> None:
    assert {c.name: c.strengths[0] for c in BOUNDED} == {
        "rotation": 15,
        "shift": 2,
        "scale": 0.8,
        "thicker pen": 3,
        "thinner pen": 2,
        "blur": 1,
        "salt and pepper": 0.08,
        "noise": 0.3,
        "erased patch": 7,
    }


def test_a_shift_moves_every_pixel_to_each_of_four_corners(images: Images) -> None:
    variants = BY_NAME["shift"].apply(images, 0, 0)
    assert len(variants) == 4
    down_right = variants[0]
    assert np.array_equal(down_right[:, 2:, 2:], images[:, :-2, :-2])
    assert (down_right[:, :2] == 255).all()


def test_the_pen_grows_and_shrinks(images: Images) -> None:
    thicker, thinner = (
        BY_NAME[f"{word} pen"].apply(images, 0, 0)[0] for word in ("thicker", "thinner")
    )
    assert ((thicker == 0) >= (images == 0)).all()
    assert ((thinner == 0) <= (images == 0)).all()


def test_a_patch_is_paper_of_its_size(images: Images) -> None:
    black = np.zeros_like(images)
    erased = BY_NAME["erased patch"].apply(black, 0, 0)[0]
    assert (erased == 255).sum(axis=(1, 2)).tolist() == [49] * len(images)


def test_blur_keeps_the_ink_of_what_lies_inside() -> None:
    dot = np.full((1, 32, 32), 255, dtype=np.uint8)
    dot[0, 14:18, 14:18] = 0
    blurred = BY_NAME["blur"].apply(dot, 0, 0)[0]
    assert (255 - blurred.astype(int)).sum() == pytest.approx(16 * 255, rel=0.02)


def test_both_turns_are_one_anothers_mirror() -> None:
    cross = np.full((1, 32, 32), 255, dtype=np.uint8)
    cross[0, 14:18], cross[0, :, 14:18] = 0, 0
    one, other = BY_NAME["rotation"].apply(cross, 0, 0)
    assert np.array_equal(one[:, :, ::-1], other)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    assert auroc(np.array([0.9, 0.8]), np.array([0.1, 0.2, 0.3])) == 1
    assert auroc(np.array([0.5]), np.array([0.5, 0.5])) == 0.5
    assert auroc(np.array([0.4, 0.6]), np.array([0.5])) == 0.5


def test_families_of_non_digits_are_pictures_that_repeat(images: Images) -> None:
    families = non_digits(images, 0)
    assert set(families) == {"noise", "blank", "shapes", "cut", "scrambled"}
    for name, pictures in non_digits(images, 0).items():
        assert pictures.shape[1:] == (32, 32)
        assert pictures.dtype == np.uint8
        assert np.array_equal(pictures, families[name])


def test_scrambled_digits_keep_their_ink(images: Images) -> None:
    ink = set((images == 0).sum(axis=(1, 2)).tolist())
    assert set((non_digits(images, 0)["scrambled"] == 0).sum(axis=(1, 2)).tolist()) <= ink
