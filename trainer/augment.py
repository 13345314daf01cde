"""Draw training images anew: turned, sheared, scaled, shifted, bent, thinner, thicker, soiled.

Everything works on whole batches of ink: float32 (N, 32, 32), 1 ink and 0 paper. Source of the
elastic bending: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks",
2003; here the displacements are drawn on a coarse grid and interpolated, which costs less.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from gurmukhi.image import INK, PAPER, SIDE

_ELASTIC_GRID: Final = 5  # bends of about a quarter of the frame, as those of a hand are
_BOX: Final = 3  # pixels; the widest that a pen grows or shrinks by
_BLUR: Final = 5  # pixels of the blurring window: two deviations to each side at σ 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far images are drawn anew; each number is the bound of a uniform draw an image."""

    rotation: float = 0.0  # degrees, either way
    shear: float = 0.0  # columns a row, either way
    scale: float = 0.0  # shrinks and grows each axis by up to this share
    shift: float = 0.0  # pixels, either way
    elastic: float = 0.0  # pixels that the points of a coarse grid are displaced by, each axis
    pen: float = 0.0  # 0 keeps the pen's width; 1 is up to a whole dilation or erosion by 3×3

    # The soil below leaves grey values behind; without it the images stay bilevel.
    soiled: float = 0.0  # the share of images that get each kind of it
    blur: float = 0.0  # σ in pixels
    speckle: float = 0.0  # share of pixels that become ink or paper
    noise: float = 0.0  # σ of Gaussian noise, of the range from ink to paper
    patch: int = 0  # pixels along the side of a square that is erased


# About what hands and scanners do: digits that these bounds make are still easily read.
HAND: Final = Augmentation(rotation=15, shear=0.2, scale=0.15, shift=2, elastic=1.2, pen=0.6)


def read_ink(images: NDArray[np.uint8]) -> Tensor:
    """(N, 32, 32) grey values → float32 of the same shape, 1 ink and 0 paper."""
    return 1 - torch.from_numpy(images).to(torch.float32) / PAPER


def augment(ink: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Draw a batch anew; soiled images are grey, all others bilevel."""
    if settings == Augmentation():
        return ink
    drawn = _draw(ink, settings, generator)
    return _soil(drawn, settings, generator) if settings.soiled else drawn


def virtual_examples(
    images: NDArray[np.uint8],  # (N, 32, 32)
    labels: NDArray[np.int64],  # (N,)
    settings: Augmentation,
    *,
    copies: int,
    seed: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images followed by `copies` of each drawn anew, all bilevel: (N · (1 + copies), 32, 32).

    Raises ValueError where the settings would leave grey values.
    """
    if settings.soiled:
        raise ValueError("soiled images are grey; virtual examples must be bilevel")
    generator = torch.Generator().manual_seed(seed)
    ink = read_ink(images)
    drawn = [np.where(augment(ink, settings, generator) > 0, INK, PAPER) for _ in range(copies)]
    return (
        np.concatenate([images, *drawn]).astype(np.uint8),
        np.tile(labels, 1 + copies),
    )


def _draw(ink: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Bend the paper, then draw with another pen: (N, 32, 32) of exactly 0 and 1."""
    grid = _affine_grid(len(ink), settings, generator)
    if settings.elastic:
        grid = grid + _bends(len(ink), settings.elastic, generator)
    places = grid.permute(0, 2, 3, 1)  # (N, 32, 32, 2)
    bent = F.grid_sample(ink[:, None], places, padding_mode="zeros", align_corners=False)[:, 0]
    if not settings.pen:
        return (bent > 0.5).to(torch.float32)
    # The mean of a box crosses a low level next to ink, and a high one only deep inside it.
    change = _uniform((len(ink), 1, 1), 0.5 * settings.pen, generator)
    # In between, where boxes would round corners off for nothing, the image itself is used.
    is_box = change.abs() > 0.5 / (_BOX * _BOX)
    bent = torch.where(is_box, _box_means(bent), bent)
    return (bent > 0.5 + change * (1 - 1 / (_BOX * _BOX))).to(torch.float32)


def _box_means(ink: Tensor) -> Tensor:
    """(N, 32, 32) means of 3×3 pixels; outside the frame is paper."""
    padded = F.pad(ink, (1, 1, 1, 1))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / (_BOX * _BOX)


def _affine_grid(count: int, settings: Augmentation, generator: Generator) -> Tensor:
    """(N, 2, 32, 32) places to read from, in −1…1, x before y."""
    angle = _uniform((count,), math.radians(settings.rotation), generator)
    shear = _uniform((count,), settings.shear, generator)
    scale = 1 + _uniform((2, count), settings.scale, generator)
    shift = _uniform((2, count), settings.shift * 2 / SIDE, generator)
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos / scale[0], (shear * cos - sin) / scale[0], shift[0]], dim=1)
    down = torch.stack([sin / scale[1], (shear * sin + cos) / scale[1], shift[1]], dim=1)
    matrix = torch.stack([across, down], dim=1)  # (N, 2, 3)
    centres = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    frame = torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (3, 1024)
    return (matrix.flatten(0, 1) @ frame).reshape(count, 2, SIDE, SIDE)


def _bends(count: int, pixels: float, generator: Generator) -> Tensor:
    """(N, 2, 32, 32) smooth displacements."""
    coarse = _uniform((count, 2, _ELASTIC_GRID, _ELASTIC_GRID), pixels * 2 / SIDE, generator)
    spread = _interpolation()  # (32, 5)
    return spread @ coarse @ spread.T


@cache
def _interpolation() -> Tensor:
    """(32, 5) cubic weights that spread a coarse grid over the frame."""
    points = torch.eye(_ELASTIC_GRID)[None, :, :, None]  # (1, 5, 5, 1)
    spread = F.interpolate(points, (SIDE, 1), mode="bicubic", align_corners=True)
    return spread[0, :, :, 0].T.contiguous()


def _soil(ink: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Blur, erase, speckle and add noise, each on its share of the images."""
    for spoil in (_blur, _erase, _speckle, _noise):
        chosen = torch.nonzero(torch.rand(len(ink), generator=generator) < settings.soiled)[:, 0]
        if len(chosen):
            ink[chosen] = spoil(ink[chosen], settings, generator)
    return ink


def _blur(ink: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Blur each image by a σ of its own: one axis after the other."""
    deviations = _amounts(len(ink), settings.blur, generator)
    steps = torch.arange(_BLUR) - _BLUR // 2
    weights = torch.exp(-(steps**2) / (2 * deviations.clamp(min=1e-3) ** 2))  # (N, 1, 5)
    weights = (weights / weights.sum(dim=2, keepdim=True))[..., None]  # (N, 1, 5, 1)
    one = F.conv2d(ink[None], weights, padding=(_BLUR // 2, 0), groups=len(ink))
    both = F.conv2d(one, weights.transpose(2, 3), padding=(0, _BLUR // 2), groups=len(ink))
    return both[0]


def _erase(ink: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    return ink.masked_fill(_squares(len(ink), settings.patch, generator), 0.0)


def _speckle(ink: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    chance = torch.rand(ink.shape, generator=generator)
    share = _amounts(len(ink), settings.speckle, generator)
    return torch.where(chance < share, (chance < share / 2).to(torch.float32), ink)


def _noise(ink: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    noise = torch.randn(ink.shape, generator=generator)
    return (ink + noise * _amounts(len(ink), settings.noise, generator)).clamp(0, 1)


def _squares(count: int, side: int, generator: Generator) -> Tensor:
    """(N, 32, 32) true inside a square that lies wholly in the frame."""
    corner = torch.randint(0, SIDE - side + 1, (2, count, 1), generator=generator)
    steps = torch.arange(SIDE)
    inside = (steps >= corner) & (steps < corner + side)  # (2, N, 32)
    return inside[0][:, :, None] & inside[1][:, None, :]


def _uniform(shape: tuple[int, ...], bound: float, generator: Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound


def _amounts(count: int, most: float, generator: Generator) -> Tensor:
    return torch.rand((count, 1, 1), generator=generator) * most
