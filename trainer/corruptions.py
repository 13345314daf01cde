"""Named ways to spoil images of digits, each at three strengths, the mildest first.

What moves or redraws the glyph gives bilevel images, as a scan would be after its threshold; what
soils the picture leaves grey values. None of this code is shared with the training's augmentation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.image import INK, PAPER, SIDE

Images = NDArray[np.uint8]  # (N, 32, 32)
Ink = NDArray[np.float64]  # (N, 32, 32), 1 ink and 0 paper
STRENGTHS: Final = ("mild", "harder", "hardest")

_MIDDLE: Final = (SIDE - 1) / 2


@dataclass(frozen=True, slots=True)
class Corruption:
    """One way to spoil images; `spoil(ink, strength, rng)` gives every variant of it."""

    name: str
    strengths: tuple[float, float, float]
    unit: str  # of the strengths, for tables
    spoil: Callable[[Ink, float, np.random.Generator], list[Ink]]
    bounded: bool = False  # one of the nine whose mild strength has a goal

    def apply(self, images: Images, strength: int, seed: int) -> list[Images]:
        """The variants, such as both directions of a turn, at strength 0, 1 or 2."""
        rng = np.random.default_rng([seed, strength, *self.name.encode()])
        ink = 1 - images.astype(np.float64) / PAPER
        return [_to_grey(variant) for variant in self.spoil(ink, self.strengths[strength], rng)]


def _to_grey(ink: Ink) -> Images:
    return np.asarray(np.rint(PAPER - np.clip(ink, 0, 1) * (PAPER - INK)), dtype=np.uint8)


def _rotate(ink: Ink, degrees: float, rng: Any) -> list[Ink]:
    return [_turned(ink, sign * np.deg2rad(degrees)) for sign in (1, -1)]


def _turned(ink: Ink, angle: float) -> Ink:
    cos, sin = np.cos(angle), np.sin(angle)
    return _moved(ink, np.array([[cos, -sin], [sin, cos]]))


def _shift(ink: Ink, pixels: float, rng: Any) -> list[Ink]:
    """Both ways along both axes: the four corners."""
    here = np.eye(2)
    return [_moved(ink, here, (dy, dx)) for dy in (pixels, -pixels) for dx in (pixels, -pixels)]


def _scale(ink: Ink, factor: float, rng: Any) -> list[Ink]:
    return [_moved(ink, np.eye(2) / factor)]


def _squeeze(ink: Ink, factor: float, rng: Any) -> list[Ink]:
    return [_moved(ink, np.diag([1, 1 / factor])), _moved(ink, np.diag([1 / factor, 1]))]


def _shear(ink: Ink, slope: float, rng: Any) -> list[Ink]:
    return [_moved(ink, np.array([[1, 0], [sign * slope, 1]])) for sign in (1, -1)]


def _bend(ink: Ink, pixels: float, rng: np.random.Generator) -> list[Ink]:
    """Displace along smooth waves of a random direction and phase."""
    count = len(ink)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    moves = []
    for _ in range(2):
        angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
        phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
        along = rows * np.sin(angle) + columns * np.cos(angle)
        moves.append(pixels * np.sin(along * 2 * np.pi / SIDE + phase))
    return [_threshold(_read_at(ink, rows + moves[0], columns + moves[1]))]


def _moved(ink: Ink, matrix: NDArray[Any], shift: tuple[float, float] = (0.0, 0.0)) -> Ink:
    """Read each pixel (row, column) from `matrix` times its place about the middle."""
    places = np.mgrid[:SIDE, :SIDE].reshape(2, -1) - _MIDDLE
    rows, columns = matrix @ places + _MIDDLE - np.array(shift)[:, None]
    shape = (1, SIDE, SIDE)
    return _threshold(_read_at(ink, rows.reshape(shape), columns.reshape(shape)))


def _threshold(ink: Ink) -> Ink:
    return (ink > 0.5).astype(np.float64)


def _read_at(ink: Ink, rows: NDArray[Any], columns: NDArray[Any]) -> Ink:
    """Interpolate between the four pixels around each place; outside the frame is paper."""
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    rows, columns = (np.clip(place + 1, 0, SIDE + 1) for place in (rows, columns))
    top, left = (np.minimum(place.astype(np.intp), SIDE) for place in (rows, columns))
    down, right = rows - top, columns - left
    image = np.arange(len(ink))[:, None, None]
    return np.asarray(
        padded[image, top, left] * (1 - down) * (1 - right)
        + padded[image, top, left + 1] * (1 - down) * right
        + padded[image, top + 1, left] * down * (1 - right)
        + padded[image, top + 1, left + 1] * down * right
    )


def _thicken(ink: Ink, side: float, rng: Any) -> list[Ink]:
    return [_windows(ink, int(side)).max(axis=(3, 4))]


def _thin(ink: Ink, side: float, rng: Any) -> list[Ink]:
    return [1 - _windows(1 - ink, int(side), outside=1.0).max(axis=(3, 4))]


def _windows(ink: Ink, side: int, outside: float = 0.0) -> Ink:
    """(N, 32, 32, side, side) the square of pixels around each pixel."""
    before = side // 2
    around = ((0, 0), (before, side - 1 - before), (before, side - 1 - before))
    padded = np.pad(ink, around, constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))


def _blur(ink: Ink, deviation: float, rng: Any) -> list[Ink]:
    reach = int(np.ceil(3 * deviation))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    weights /= weights.sum()
    for axis in (1, 2):
        around = [(0, 0)] * 3
        around[axis] = (reach, reach)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(ink, around), len(weights), axis)
        ink = windows @ weights
    return [ink]


def _speckle(ink: Ink, share: float, rng: np.random.Generator) -> list[Ink]:
    chance = rng.random(ink.shape)
    return [np.where(chance < share, (chance < share / 2).astype(np.float64), ink)]


def _noise(ink: Ink, deviation: float, rng: np.random.Generator) -> list[Ink]:
    return [ink + rng.normal(0, deviation, ink.shape)]


def _erase(ink: Ink, side: float, rng: np.random.Generator) -> list[Ink]:
    """One square of paper an image, wholly in the frame."""
    corners = rng.integers(0, SIDE - int(side) + 1, (2, len(ink), 1))
    inside = (np.arange(SIDE) >= corners) & (np.arange(SIDE) < corners + int(side))
    return [np.where(inside[0][:, :, None] & inside[1][:, None, :], 0.0, ink)]


def _rule(ink: Ink, width: float, rng: np.random.Generator) -> list[Ink]:
    """A level line of ink somewhere across the frame, as on ruled paper."""
    top = rng.integers(0, SIDE - int(width) + 1, (len(ink), 1))
    ruled = (np.arange(SIDE) >= top) & (np.arange(SIDE) < top + int(width))
    return [np.where(ruled[:, :, None], 1.0, ink)]


def _fade(ink: Ink, share: float, rng: Any) -> list[Ink]:
    return [ink * (1 - share)]


def _shade(ink: Ink, share: float, rng: np.random.Generator) -> list[Ink]:
    """A shadow that deepens from one side to the other, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi, (len(ink), 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
    along = (rows * np.sin(angle) + columns * np.cos(angle)) / np.sqrt(2) + 0.5
    return [np.maximum(ink, share * along)]


def _coarsen(ink: Ink, side: float, rng: Any) -> list[Ink]:
    """As if scanned at fewer pixels: `side` by `side`, interpolated back and not thresholded."""
    step = SIDE / side
    places = (np.arange(SIDE) + 0.5) / step - 0.5
    coarse = _block_means(ink, int(side))
    padded = np.pad(coarse, ((0, 0), (1, 1), (1, 1)), mode="edge")
    low = np.floor(places + 1).astype(np.intp)
    share = places + 1 - low
    across = padded[:, :, low] * (1 - share) + padded[:, :, low + 1] * share
    share = share[:, None]
    return [np.asarray(across[:, low] * (1 - share) + across[:, low + 1] * share)]


def _block_means(ink: Ink, side: int) -> Ink:
    edges = np.arange(side + 1) * SIDE / side
    starts = np.arange(SIDE)
    # (side, 32): how much of each pixel lies in each block
    overlap = np.clip(
        np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts), 0, 1
    )
    overlap /= overlap.sum(axis=1, keepdims=True)
    return np.asarray(overlap @ ink @ overlap.T)


CORRUPTIONS: Final = (
    Corruption("rotation", (15, 25, 35), "°", _rotate, bounded=True),
    Corruption("shift", (2, 4, 6), " px", _shift, bounded=True),
    Corruption("scale", (0.8, 0.65, 0.5), "", _scale, bounded=True),
    Corruption("thicker pen", (3, 4, 5), " px square", _thicken, bounded=True),
    Corruption("thinner pen", (2, 3, 4), " px square", _thin, bounded=True),
    Corruption("blur", (1, 2, 3), " px σ", _blur, bounded=True),
    Corruption("salt and pepper", (0.08, 0.16, 0.3), " of pixels", _speckle, bounded=True),
    Corruption("noise", (0.3, 0.6, 1.0), " σ", _noise, bounded=True),
    Corruption("erased patch", (7, 11, 15), " px square", _erase, bounded=True),
    Corruption("shear", (0.2, 0.4, 0.6), "", _shear),
    Corruption("squeeze", (0.8, 0.65, 0.5), " of one axis", _squeeze),
    Corruption("bend", (1, 2, 3), " px", _bend),
    Corruption("ruled line", (1, 2, 3), " px", _rule),
    Corruption("faded ink", (0.3, 0.5, 0.7), " of the ink", _fade),
    Corruption("shadow", (0.3, 0.5, 0.8), " at the darkest", _shade),
    Corruption("coarse scan", (16, 12, 8), " px a side", _coarsen),
)
BOUNDED: Final = tuple(corruption for corruption in CORRUPTIONS if corruption.bounded)
