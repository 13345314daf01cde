"""Draw Gurmukhi digits as many writers would, without end, fonts or real images.

A digit is a blend of two hands from `skeletons`, bent by a writer's style, drawn with a pen and
stretched to the frame. Apart from uniform draws there are only + - * / and square roots, which
IEEE 754 rounds exactly: the same seed gives the same images on any machine.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from gurmukhi.skeletons import DIGITS
from gurmukhi.strokes import Floats, Strokes, read_families

SIDE = 32
CHUNK = 200  # images drawn from one random stream; a multiple of ten keeps the classes balanced
POSITIONS = 112  # of the pen, an image: about a pixel apart on the longest glyphs
LEAST_RADIUS = 1.0  # in pixels; a finer pen would leave gaps between its positions
SLICE = 5  # images inked at once: arrays of 72 kB stay in the cache, and malloc reuses their memory


def synthetic_digits(
    count: int, seed: int, *, start: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw `count` handwritten digits of the endless series `seed`, beginning with `start`.

    Return images (count, 32, 32), 0 ink and 255 paper, and labels (count,). From any multiple
    of ten, ten consecutive images hold each digit once. Whole chunks are drawn: to stream,
    ask for multiples of `CHUNK`.
    """
    for name, value in (("count", count), ("seed", seed), ("start", start)):
        if value < 0:
            raise ValueError(f"{name} is {value}, expected 0 or more")
    images = np.empty((count, SIDE, SIDE), np.uint8)
    labels = np.empty(count, np.int64)
    done = 0
    while done < count:
        chunk, first = divmod(start + done, CHUNK)
        taken = min(CHUNK - first, count - done)
        drawn, digits = _draw_chunk(np.random.default_rng([seed, chunk]))
        images[done : done + taken] = drawn[first : first + taken]
        labels[done : done + taken] = digits[first : first + taken]
        done += taken
    return images, labels


def _draw_chunk(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw images (CHUNK, 32, 32) and labels (CHUNK,)."""
    order = rng.random((CHUNK // 10, 10))
    labels = np.argsort(order, axis=1, kind="stable").reshape(CHUNK).astype(np.int64)
    families, bounds = _families()
    chosen = np.searchsorted(bounds, labels + rng.random(CHUNK, np.float32), side="right")
    points = np.empty((CHUNK, POSITIONS, 2), np.float32)
    for index in np.unique(chosen):
        mine = np.flatnonzero(chosen == index)
        points[mine] = _write(families[index], len(mine), rng)
    x, y, radius = _style(points, labels, rng)
    images = np.empty((CHUNK, SIDE, SIDE), np.uint8)
    for begin in range(0, CHUNK, SLICE):
        part = slice(begin, begin + SLICE)
        images[part] = _ink(*_frame(x[part], y[part], radius[part]))
    return images, labels


@cache
def _families() -> tuple[tuple[Strokes, ...], NDArray[np.float64]]:
    """Prepare all families, and divide d..d+1 among those of digit d by their weights."""
    families: list[Strokes] = []
    bounds = []
    for label, digit in enumerate(DIGITS):
        mine = read_families(digit.hands, POSITIONS)
        weights = np.cumsum([family.weight for family in mine])
        families += mine
        bounds.append(label + weights / weights[-1])
    return tuple(families), np.concatenate(bounds)


def _write(strokes: Strokes, count: int, rng: np.random.Generator) -> Floats:
    """Write a glyph `count` times with an unsteady hand: pen positions (count, P, 2)."""
    one, other, weight = rng.random((3, count), np.float32)
    control = strokes.blend(one, other, weight * weight)  # mostly near the first hand
    unsteady = _uniform(rng, 0.02, 0.09, (count, 1, 1))  # 1 to 5 % of the glyph's box
    control[..., :2] += _bell(rng, control[..., :2].shape) * unsteady
    return strokes.trace(control, tension=_uniform(rng, 0.4, 0.6, (count, 1, 1)))


def _style(
    points: Floats, labels: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Bend pen positions (n, P, 2) to a writer's style: x, y and the pen's radius (n, P).

    The ranges are set by eye, and so that shares of ink and stroke widths are like those of
    real digits.
    """
    n = len(points)
    x, y = points[..., 0], points[..., 1]
    slant = _bell(rng, (n, 1)) * 0.12
    turn = _bell(rng, (n, 1)) * 0.08
    warp = _bell(rng, (6, n, 1)) * 0.08
    xx, xy, yy = x * x, x * y, y * y
    bent_x = x + slant * y + warp[0] * xx + warp[1] * xy + warp[2] * yy
    bent_y = y + turn * x + warp[3] * xx + warp[4] * xy + warp[5] * yy
    aspect, pen = np.array([(d.aspect, d.pen) for d in DIGITS], np.float32)[labels].T
    bent_x *= aspect[:, None] * _uniform(rng, 0.75, 1.3, (n, 1))
    tremor = 0.009
    bent_x += _bell(rng, x.shape) * tremor
    bent_y += _bell(rng, x.shape) * tremor
    pressure = _uniform(rng, -0.15, 0.15, (n, 1)) * y + _bell(rng, x.shape) * 0.05
    radius = pen[:, None] * _uniform(rng, 0.68, 1.35, (n, 1)) * (1 + pressure)
    return bent_x, bent_y, radius


def _frame(x: Floats, y: Floats, radius: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Stretch the inked box to the frame: x, y and the pen's two radii in pixels, all (n, P).

    A pixel's centre has whole coordinates, so the frame reaches from -0.5 to 31.5.
    """
    x, wide = _stretch(x, radius)
    y, high = _stretch(y, radius)
    across, down = np.maximum(radius * wide, LEAST_RADIUS), np.maximum(radius * high, LEAST_RADIUS)
    return x, y, across, down


def _stretch(a: Floats, radius: Floats) -> tuple[Floats, Floats]:
    low = (a - radius).min(axis=1, keepdims=True)
    high = (a + radius).max(axis=1, keepdims=True)
    scale = SIDE / (high - low)
    return (a - low) * scale - 0.5, scale


def _ink(x: Floats, y: Floats, across: Floats, down: Floats) -> NDArray[np.uint8]:
    """Ink the pixels whose centres the pen, an ellipse, covers: (n, P) to images (n, 32, 32).

    A row of 32 pixels is a word of 32 bits, and the pen's chord in it the difference of two.
    """
    chord = np.arange(SIDE, dtype=np.float32) - y[..., None]  # (n, P, 32), in place from here
    chord /= down[..., None]
    chord *= chord
    np.subtract(1, chord, out=chord)
    np.maximum(chord, 0, out=chord)
    np.sqrt(chord, out=chord)
    chord *= across[..., None]  # half its length; 0 beside the pen
    next_pixel = x[..., None] + 1
    words = _pixels_from(next_pixel - chord) ^ _pixels_from(next_pixel + chord)
    rows = np.bitwise_or.reduce(words, axis=1).astype("<u4")  # (n, 32)
    bits = np.unpackbits(rows[..., None].view(np.uint8), axis=2, bitorder="little")
    return bits - np.uint8(1)  # 1 is ink and becomes 0; 0 is paper and becomes 255


def _pixels_from(place: Floats) -> NDArray[np.uint32]:
    """Set the bits of a row's pixels from `place`, rounded down, to the right edge."""
    return np.uint32(0xFFFFFFFF) << np.clip(place, 0, SIDE, out=place).astype(np.uint32)


def _uniform(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> Floats:
    return rng.random(shape, np.float32) * (high - low) + low


def _bell(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw from a bell of mean 0 and deviation 1, cut at 3: the sum of three uniform draws."""
    a, b, c = rng.random((3, *shape), np.float32)
    bell: Floats = (a + b + c) * 2 - 3
    return bell
