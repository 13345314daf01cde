"""Blurred ink in whole numbers: what an SVM of version 2 sees of an image.

A stroke that is moved or turned a little overlaps its blurred self, so that fewer examples say
more. The window is binomial, a Gaussian of σ √2 pixels; all sums stay below 2²⁴, so float32 adds
them without rounding in whatever order, and values of 0 to 127 let integer products of 8 bits be
added in pairs on every processor without saturating.
"""

from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.image import PAPER, SIDE

_ORDER: Final = 8  # of the binomial window, which is one pixel wider
_SHIFT: Final = 2 * _ORDER + 1  # 255 · 2¹⁶ becomes 127
# What sums of the window are multiplied by before their fraction is dropped.
SCALE: Final = 2.0**-_SHIFT
# x = value / 64 − 1 lies from −1 (paper) to below 1 (ink), and is exact in binary.
HALF_RANGE: Final = 64


def blur_matrix() -> NDArray[np.int64]:
    """(32, 32) the window along one axis; beyond the frame is paper, and its ink is zero."""
    places = np.arange(SIDE)
    offsets = places[:, None] - places + _ORDER // 2
    weights = np.array([comb(_ORDER, k) for k in range(_ORDER + 1)])
    inside = (offsets >= 0) & (offsets <= _ORDER)
    return np.where(inside, weights[np.clip(offsets, 0, _ORDER)], 0)


def blur_ink(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 32, 32) grey values, 0 ink and 255 paper → blurred ink of the same shape, 0 to 127."""
    matrix = blur_matrix().astype(np.float32)  # exact, and much faster than integers
    blurred = matrix @ (PAPER - images).astype(np.float32) @ matrix.T
    return (blurred.astype(np.int32) >> _SHIFT).astype(np.uint8)
