"""Tell ink from paper in a grey picture, under uneven light too."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from gurmukhi.errors import BlankImageError

_T = TypeVar("_T", bound=np.generic)
Grey = NDArray[np.uint8]  # (height, width), 0 black and 255 white
Mask = NDArray[np.bool_]  # (height, width)

# Below this span of grey values a picture is paper and its noise.
MIN_CONTRAST: Final = 32
# Of a digit with a margin: 0.92 to 0.95 in even light, at most 0.86 under a shadow.
_CLEAR: Final = 0.9
# A dark ground is the exception: where it is hardly the clearer reading, it is light paper. Under
# the hard edge of a shadow the wrong one was the clearer by 0.02, of digits on dark 0.15.
_DARK_GROUND_HANDICAP: Final = 0.05
# The light is estimated on a grid of at most this side, by windows wider than any stroke: the
# data set's widest is 9/32 of the frame.
_LIGHT_SIDE: Final = 64
_LIGHT_STEPS: Final = 10  # each widens the window by 2 from 1: to 21
# Parts with less ink than this share of the largest are dust: the real digits' smallest is 2.2 %.
_DUST_SHARE: Final = 0.02
_DUST_SIDE: Final = 64
# At the picture's edge lie the corners of shadows and of other things: these go sooner.
_EDGE_SHARE: Final = 0.25


def dark_pixels(grey: Grey) -> Mask:
    """The dark ones of the two sets of pixels that a picture falls into: ink, if not inverted.

    Where one threshold for all does not part them clearly, the light is evened out first, as
    that of light paper and as that of a dark ground, and the clearest of the three is taken.
    Raises BlankImageError.
    """
    low, high = int(grey.min()), int(grey.max())
    if high - low < MIN_CONTRAST:
        raise BlankImageError(f"the image is blank: its grey values lie between {low} and {high}")
    dark, clarity = _split(grey)
    if clarity < _CLEAR:  # because of noise, maybe
        grey = np.asarray(Image.fromarray(grey).filter(ImageFilter.MedianFilter(3)))
        dark, clarity = _split(grey)
    if clarity >= _CLEAR:
        return dark
    readings = [(dark, clarity)]
    if (even := _even_light(grey)) is not None:
        readings.append(_split(even))
    if (even := _even_light(np.uint8(255) - grey)) is not None:
        dark, clarity = _split(np.uint8(255) - even)
        readings.append((dark, clarity - _DARK_GROUND_HANDICAP))
    if len(readings) == 1:
        raise BlankImageError("the image is blank: it shows light and shadow, but no ink")
    return max(readings, key=lambda reading: reading[1])[0]


def _split(grey: Grey) -> tuple[Mask, float]:
    """The dark pixels, and how clearly they part from the others.

    That is Otsu's measure, less the share of the border that is at odds with the rest of it: ink
    keeps off the border, and the two sides of a shadow's edge do not.
    """
    threshold, clarity = otsu(grey)
    dark = np.asarray(grey <= threshold)
    share = float(border(dark).mean())
    return dark, clarity - min(share, 1 - share)


def border(pixels: NDArray[_T]) -> NDArray[_T]:
    """The outermost pixels of a picture, in one row."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def otsu(grey: Grey) -> tuple[int, float]:
    """The threshold that parts the grey values best, and how clearly it does, from 0 to 1.

    Source: N. Otsu, "A threshold selection method from gray-level histograms", 1979: σ_B² (eq. 18)
    is greatest at the threshold; η = σ_B² / σ_T² (eq. 12) there.
    """
    share = np.bincount(grey.ravel(), minlength=256) / grey.size
    weight = np.cumsum(share)  # ω(k)
    mean = np.cumsum(share * np.arange(256))  # μ(k)
    spread = weight * (1 - weight)
    between = np.zeros(256)
    split = spread > 0
    between[split] = (mean[-1] * weight[split] - mean[split]) ** 2 / spread[split]
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))  # a plateau: take its middle
    total = float((share * (np.arange(256) - mean[-1]) ** 2).sum())
    return int(best[len(best) // 2]), float(between.max()) / total if total else 0.0


def without_dust(ink: Mask) -> Mask:
    """Drop specks: ink with fewer than two inked neighbours, then parts with hardly any ink.

    Only in pictures large enough for strokes to be broader than specks.
    """
    if min(ink.shape) <= _DUST_SIDE:
        return ink
    padded = np.pad(ink, 1).astype(np.uint8)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    neighbours = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    kept = ink & (neighbours >= 3)
    return _large_parts(kept if kept.any() else ink)


def _even_light(grey: Grey) -> Grey | None:
    """Divide a picture by its paper: what is left when all that is dark and narrow is closed.

    None where hardly anything is darker than the paper around it.
    """
    factor = -(-max(grey.shape) // _LIGHT_SIDE)
    small = Image.fromarray(grey).reduce(factor).filter(ImageFilter.MedianFilter(3))
    for step in (ImageFilter.MaxFilter(3), ImageFilter.MinFilter(3)):
        for _ in range(_LIGHT_STEPS):
            small = small.filter(step)
    height, width = grey.shape
    smooth = small.filter(ImageFilter.BoxBlur(2))
    light = np.asarray(smooth.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    if np.quantile(light - grey, 0.999) < MIN_CONTRAST:
        return None
    return np.minimum(grey / np.maximum(light, 1) * 255, 255).astype(np.uint8)


def _large_parts(ink: Mask) -> Mask:
    """Keep the connected parts that hold a fair share of the ink, found on a coarse grid."""
    step = -(-max(ink.shape) // _DUST_SIDE)
    height, width = ink.shape
    padded = np.pad(ink, ((0, -height % step), (0, -width % step)))
    cells = padded.reshape(padded.shape[0] // step, step, -1, step).sum(axis=(1, 3))
    parts = _label(cells > 0)
    sizes = np.bincount(parts.ravel(), weights=cells.ravel())
    shares = np.full(len(sizes), _DUST_SHARE)
    shares[np.unique(border(parts))] = _EDGE_SHARE
    large = (sizes >= shares * sizes.max())[parts]
    kept: Mask = ink & large.repeat(step, axis=0).repeat(step, axis=1)[:height, :width]
    return kept


def _label(cells: Mask) -> NDArray[np.int64]:
    """Number the parts of a mask that touch, corners included; 0 is outside of all."""
    labels = np.where(cells, np.arange(1, cells.size + 1).reshape(cells.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
        spread = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
        spread *= cells
        # A label is the number of a cell: go on from what that cell is called by now.
        spread = np.where(cells, spread.ravel()[spread - 1], 0)
        if np.array_equal(spread, labels):
            return labels
        labels = spread
