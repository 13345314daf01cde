"""Blurred ink: what an SVM of version 2 sees of an image.

A stroke that is moved or turned a little overlaps its blurred self, so that fewer examples say
more. The window is binomial, all but a Gaussian.

- `blur_ink`, σ √2 pixels, for kernels: whole numbers of 7 bits. All sums stay below 2²⁴, so float32
  adds them without rounding in whatever order, and values of 0 to 127 let integer products of 8
  bits be added in pairs on every processor without saturating.
- `smooth`, σ 2 pixels, for a linear machine: nothing is rounded off, so it is linear in the pixels,
  and a hyperplane of smoothed pixels is one of pixels.
"""

from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.image import PAPER, SIDE

_ORDER: Final = 8  # of the binomial window, which is one pixel wider
_SMOOTH_ORDER: Final = 16  # of the window that `smooth` has
_SHIFT: Final = 2 * _ORDER + 1  # 255 · 2¹⁶ becomes 127
# What sums of the window are multiplied by before their fraction is dropped.
SCALE: Final = 2.0**-_SHIFT
# x = value / 64 − 1 lies from −1 (paper) to below 1 (ink), and is exact in binary.
HALF_RANGE: Final = 64


def blur_matrix(order: int = _ORDER) -> NDArray[np.int64]:
    """(32, 32) the window along one axis; beyond the frame is paper, and its ink is zero."""
    places = np.arange(SIDE)
    offsets = places[:, None] - places + order // 2
    weights = np.array([comb(order, k) for k in range(order + 1)])
    inside = (offsets >= 0) & (offsets <= order)
    return np.where(inside, weights[np.clip(offsets, 0, order)], 0)


def blur_ink(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 32, 32) grey values, 0 ink and 255 paper → blurred ink of the same shape, 0 to 127."""
    matrix = blur_matrix().astype(np.float32)  # exact, and much faster than integers
    blurred = matrix @ (PAPER - images).astype(np.float32) @ matrix.T
    return (blurred.astype(np.int32) >> _SHIFT).astype(np.uint8)


def smoothing_matrix() -> NDArray[np.float64]:
    """(32, 32) what `smooth` multiplies ink by from both sides; symmetric."""
    return blur_matrix(_SMOOTH_ORDER) / 2.0**_SMOOTH_ORDER


def smooth(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, 32, 32) grey values, 0 ink and 255 paper → weighted means of them, of the same shape."""
    matrix = smoothing_matrix()
    return PAPER - matrix @ (PAPER - images.astype(np.float64)) @ matrix
