"""How well a model's confidence tells digits from pictures of no digit.

The pictures are drawn apart from those that the MLP is taught to be unsure of (`rejects`), though
noise, scrambled and cut digits are of the same kinds. MNIST's digits are of none of them.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import DataError, ImageError
from gurmukhi.image import INK, PAPER, SIDE, fit_frame
from gurmukhi.mnist import find_mnist, read_mnist

Images = NDArray[np.uint8]  # (N, 32, 32)
Confidence = NDArray[np.floating]  # (N,) the probability of the digit that a model answers

MNIST_FAMILY: Final = "MNIST 1, 4–9"
# MNIST's 0, 2 and 3 look like Gurmukhi's.
_FOREIGN: Final = (1, 4, 5, 6, 7, 8, 9)
_COUNT: Final = 1000  # pictures of each family


def non_digits(digits: Images, seed: int) -> dict[str, Images]:
    """Families of pictures that show no digit, made from nothing or from digits (N, 32, 32)."""
    makers: dict[str, Callable[[np.random.Generator], Images]] = {
        "noise": _noise,
        "blank": _blank,
        "shapes": _shapes,
        "cut": lambda rng: _cut(digits[rng.integers(len(digits), size=_COUNT)], rng),
        "scrambled": lambda rng: _scrambled(digits[rng.integers(len(digits), size=_COUNT)], rng),
    }
    return {
        name: make(np.random.default_rng([seed, *name.encode()])) for name, make in makers.items()
    }


def mnist_shapes(seed: int) -> Images | None:
    """MNIST's 1 and 4 to 9, fitted to the frame as digits are; None where MNIST is not to be had.

    They come from its test split.
    """
    try:
        mnist = read_mnist(find_mnist())
    except DataError:
        return None
    indices = np.flatnonzero(np.isin(mnist.test_labels, _FOREIGN))
    chosen = np.random.default_rng(seed).choice(indices, _COUNT, replace=False)
    fitted = []
    for image in mnist.test_images[chosen]:
        try:
            fitted.append(fit_frame(PAPER - image).pixels)
        except ImageError:  # no ink is found: a client would be told so
            continue
    return np.stack(fitted)


def auroc(digits: Confidence, others: Confidence) -> float:
    """The chance that a digit is read with more confidence than a picture of none; ½ for a tie."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, digits, side="left")
    equal = np.searchsorted(ordered, digits, side="right") - below
    return float((below + equal / 2).mean() / len(others))


def _noise(rng: np.random.Generator) -> Images:
    """Even grey noise, and specks of ink at many densities, in equal parts."""
    grey = rng.integers(0, 256, (_COUNT // 2, SIDE, SIDE))
    share = rng.uniform(0.05, 0.95, (_COUNT - len(grey), 1, 1))
    specks = np.where(rng.random((len(share), SIDE, SIDE)) < share, INK, PAPER)
    return np.concatenate([grey, specks]).astype(np.uint8)


def _blank(rng: np.random.Generator) -> Images:
    """Paper of one grey, some with a grain."""
    paper = rng.uniform(128, PAPER, (_COUNT, 1, 1))
    grain = rng.normal(0, 1, (_COUNT, SIDE, SIDE)) * rng.choice([0.0, 4.0, 8.0], (_COUNT, 1, 1))
    return np.asarray(np.clip(paper + grain, 0, PAPER), dtype=np.uint8)


def _shapes(rng: np.random.Generator) -> Images:
    """Discs, frames, crosses and stripes of many sizes."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    size = rng.uniform(6, 15, (_COUNT, 1, 1))
    pen = rng.uniform(1.5, 4, (_COUNT, 1, 1))
    edge = np.maximum(abs(x), abs(y))
    turn = rng.uniform(0, np.pi, (_COUNT, 1, 1))
    along = x * np.cos(turn) + y * np.sin(turn)
    across = y * np.cos(turn) - x * np.sin(turn)
    drawn = np.stack(
        [
            np.hypot(x, y) < size,
            (edge < size) & (edge > size - pen),
            (np.minimum(abs(along), abs(across)) < pen / 2) & (edge < size),
            np.mod(along, size) < pen,
        ]
    )
    kind = rng.integers(len(drawn), size=_COUNT)
    return np.where(drawn[kind, np.arange(_COUNT)], INK, PAPER).astype(np.uint8)


def _cut(digits: Images, rng: np.random.Generator) -> Images:
    """Digits of which one half, on any side, is gone."""
    halves = np.zeros((4, SIDE, SIDE), dtype=np.bool_)
    middle = SIDE // 2
    halves[0, :middle], halves[1, middle:] = True, True
    halves[2, :, :middle], halves[3, :, middle:] = True, True
    gone = halves[rng.integers(len(halves), size=len(digits))]
    return np.where(gone, np.uint8(PAPER), digits)


def _scrambled(digits: Images, rng: np.random.Generator) -> Images:
    """Digits whose tiles of 8×8 pixels have another order."""
    tile = 8
    across = SIDE // tile
    tiles = digits.reshape(-1, across, tile, across, tile).swapaxes(2, 3)
    tiles = tiles.reshape(len(digits), across * across, tile, tile)
    order = rng.random(tiles.shape[:2]).argsort(axis=1)
    tiles = np.take_along_axis(tiles, order[:, :, None, None], axis=1)
    tiles = tiles.reshape(len(digits), across, across, tile, tile).swapaxes(2, 3)
    return tiles.reshape(-1, SIDE, SIDE)
