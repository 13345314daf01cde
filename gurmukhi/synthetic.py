"""Draw Gurmukhi digits as hands of many writers would, without end and without data.

A digit is a blend of two hands from `skeletons`, bent by a writer's style, stroked with a
pen and stretched to the frame. Only uniform draws, + - * / and square roots are used, which
IEEE 754 rounds exactly: the same seed gives the same images on any machine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gurmukhi.skeletons import FAMILIES

SIDE = 32
CHUNK = 200  # images drawn from one random stream; a multiple of ten keeps classes balanced
SAMPLES = 96  # pen positions an image: under a pixel and a half apart on the longest glyphs

Floats = NDArray[np.float32]


def synthetic_digits(
    count: int, seed: int, *, start: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw handwritten digits `start` to `start + count` of the endless series named `seed`.

    Return images (count, 32, 32), 0 ink and 255 paper, and labels (count,). Every ten
    consecutive images from a multiple of ten hold each digit once.
    """
    for name, value in (("count", count), ("seed", seed), ("start", start)):
        if value < 0:
            raise ValueError(f"{name} is {value}, expected 0 or more")
    images = np.empty((count, SIDE, SIDE), np.uint8)
    labels = np.empty(count, np.int64)
    done = 0
    while done < count:
        chunk, skip = divmod(start + done, CHUNK)
        taken = min(CHUNK - skip, count - done)
        drawn, digits = _draw_chunk(np.random.default_rng([seed, chunk]))
        images[done : done + taken] = drawn[skip : skip + taken]
        labels[done : done + taken] = digits[skip : skip + taken]
        done += taken
    return images, labels


@dataclass(frozen=True, slots=True)
class _Strokes:
    """One family, ready to be sampled: C control points, P pen positions."""

    hands: Floats  # (H, C, 3): x, y in -1..1, and 1 for a smooth point or 0 for a corner
    before: NDArray[np.intp]  # (C,) the control point before each, itself at a stroke's start
    after: NDArray[np.intp]  # (C,)
    knot: NDArray[np.intp]  # (P,) the control point a pen position comes after
    along: Floats  # (P,) how far it is on the way to the next one, 0..1


def _draw_chunk(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    order = rng.random((CHUNK // 10, 10))
    labels = np.argsort(order, axis=1, kind="stable").reshape(CHUNK).astype(np.int64)
    which = rng.random(CHUNK)
    images = np.empty((CHUNK, SIDE, SIDE), np.uint8)
    family = _CUMULATIVE.searchsorted(labels + which, side="right")
    points = np.empty((CHUNK, SAMPLES, 2), np.float32)
    for index in np.unique(family):
        mine = np.flatnonzero(family == index)
        points[mine] = _trace(_STROKES[index], len(mine), rng)
    x, y, radius = _style(points[..., 0], points[..., 1], rng)
    for part in range(0, CHUNK, 25):  # a slice whose rows stay in the processor's cache
        cut = slice(part, part + 25)
        images[cut] = _ink(*_frame(x[cut], y[cut], radius[cut]))
    return images, labels


def _bell(rng: np.random.Generator, *shape: int) -> Floats:
    """Draw a bell curve of mean 0 and deviation 1, cut at 3, as a sum of three uniforms."""
    a, b, c = rng.random((3, *shape), np.float32)
    return (a + b + c) * np.float32(2) - np.float32(3)


def _between(rng: np.random.Generator, low: float, high: float, count: int) -> Floats:
    """Draw uniform numbers (count, 1)."""
    return rng.random((count, 1), np.float32) * np.float32(high - low) + np.float32(low)


def _trace(strokes: _Strokes, count: int, rng: np.random.Generator) -> Floats:
    """Blend and disturb hands and return pen positions (count, P, 2)."""
    hands = strokes.hands
    one, other = (rng.random((2, count), np.float32) * np.float32(len(hands))).astype(np.intp)
    weight = rng.random((count, 1, 1), np.float32)
    control = hands[one] + (hands[other] - hands[one]) * (weight * weight)
    place = control[..., :2]
    wobble = _between(rng, 0.02, 0.09, count)[..., None]
    place = place + _bell(rng, count, place.shape[1], 2) * wobble
    smooth = control[..., 2:] * _between(rng, 0.4, 0.6, count)[..., None]
    tangent = (place[:, strokes.after] - place[:, strokes.before]) * smooth

    u = strokes.along[:, None]
    knot, following = strokes.knot, strokes.after[strokes.knot]
    v = np.float32(1) - u
    bend = place[:, knot] * ((u + u + np.float32(1)) * v * v)
    bend += place[:, following] * ((v + v + np.float32(1)) * u * u)
    bend += tangent[:, knot] * (u * v * v)
    bend -= tangent[:, following] * (u * u * v)
    return bend


def _style(x: Floats, y: Floats, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Bend and slant the glyph, choose aspect and pen."""
    n = len(x)
    slant, turn = _bell(rng, n, 1) * np.float32(0.12), _bell(rng, n, 1) * np.float32(0.08)
    warp = _bell(rng, 6, n, 1) * np.float32(0.08)
    xx, xy, yy = x * x, x * y, y * y
    bent_x = x + slant * y + warp[0] * xx + warp[1] * xy + warp[2] * yy
    bent_y = y + turn * x + warp[3] * xx + warp[4] * xy + warp[5] * yy
    aspect = _between(rng, 0.6, 1.1, n)
    bent_x *= aspect
    rough = np.float32(0.012)
    bent_x += _bell(rng, *x.shape) * rough
    bent_y += _bell(rng, *x.shape) * rough
    pressure = _between(rng, -0.15, 0.15, n)
    radius = _between(rng, 0.07, 0.14, n) * (
        np.float32(1) + pressure * y + _bell(rng, *x.shape) * np.float32(0.06)
    )
    return bent_x, bent_y, radius


def _frame(x: Floats, y: Floats, radius: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Stretch what the pen covers to the frame: x, y and the pen's radii (n, P) in pixels."""

    def stretch(a: Floats) -> tuple[Floats, Floats]:
        low = (a - radius).min(axis=1, keepdims=True)
        scale = np.float32(SIDE) / ((a + radius).max(axis=1, keepdims=True) - low)
        return (a - low) * scale - np.float32(0.5), scale

    x, wide = stretch(x)
    y, high = stretch(y)
    return x, y, radius * wide, radius * high


def _ink(x: Floats, y: Floats, across: Floats, down: Floats) -> NDArray[np.uint8]:
    """Cover with ink each pixel whose centre lies in the ellipse of a pen position.

    A row of 32 pixels is one word of 32 bits, so a chord is a difference of two powers.
    """
    row = np.arange(SIDE, dtype=np.float32)
    dy = (row - y[..., None]) / down[..., None]  # (n, P, 32)
    chord = np.sqrt(np.maximum(np.float32(1) - dy * dy, np.float32(0))) * across[..., None]
    left = np.clip(np.ceil(x[..., None] - chord), 0, SIDE).astype(np.uint8)
    right = np.clip(np.floor(x[..., None] + chord) + np.float32(1), 0, SIDE).astype(np.uint8)
    words = np.where(chord > 0, _BELOW[left] ^ _BELOW[np.maximum(left, right)], np.uint32(0))
    rows = np.bitwise_or.reduce(words, axis=1).astype("<u4")  # (n, 32)
    bits = np.unpackbits(rows[..., None].view(np.uint8), axis=2, bitorder="little")
    return bits - np.uint8(1)


_BELOW = ((np.uint64(1) << np.arange(SIDE + 1, dtype=np.uint64)) - np.uint64(1)).astype(np.uint32)


def _parse(hand: str) -> tuple[Floats, list[int]]:
    """Read a hand's control points (C, 3) and the stroke that each belongs to."""
    points, stroke = [], []
    for number, path in enumerate(hand.split("|")):
        for point in path.split():
            x, y = point.rstrip("!").split(",")
            points.append((int(x) / 50 - 1, int(y) / 50 - 1, 0.0 if point.endswith("!") else 1.0))
            stroke.append(number)
    return np.array(points, np.float32), stroke


def _strokes(hands: tuple[str, ...]) -> _Strokes:
    """Prepare a family; pen positions are shared out by the segments' mean lengths."""
    parsed = [_parse(hand) for hand in hands]
    points = np.stack([p for p, _ in parsed])
    stroke = np.array(parsed[0][1])
    index = np.arange(len(stroke))
    starts = np.r_[True, stroke[1:] != stroke[:-1]]
    ends = np.r_[starts[1:], True]
    step = np.diff(points[..., :2], axis=1)
    lengths = np.sqrt(step[..., 0] ** 2 + step[..., 1] ** 2).mean(axis=0) * ~ends[:-1]
    travelled = np.r_[0.0, np.cumsum(lengths, dtype=np.float64)]
    at = np.linspace(0, travelled[-1], SAMPLES) * (1 - 1e-6)
    knot = np.searchsorted(travelled, at, side="right") - 1
    along = (at - travelled[knot]) / lengths[knot]
    return _Strokes(
        points,
        np.where(starts, index, index - 1),
        np.where(ends, index, index + 1),
        knot,
        along.astype(np.float32),
    )


_STROKES = tuple(_strokes(family.hands) for digit in FAMILIES for family in digit)
# digit d's families divide the interval from d to d + 1 by their weights
_CUMULATIVE = np.concatenate(
    [
        d + np.cumsum([f.weight for f in digit]) / sum(f.weight for f in digit)
        for d, digit in enumerate(FAMILIES)
    ]
)
