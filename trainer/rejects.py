"""Draw pictures of no digit, so that a network learns to be unsure of what is none."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gurmukhi.image import SIDE


def draw_rejects(ink: Tensor, count: int, generator: Generator) -> Tensor:
    """`count` pictures of no digit, from ink (N, 32, 32) of digits: (count, 32, 32).

    Equal parts of noise, blots, scrambled digits, digits' halves under one another, and lines.
    """
    parts = [count // 5 + (part < count % 5) for part in range(5)]
    drawers = (_noise, _blots, _scrambled, _joined, _lines)
    drawn = [draw(ink, part, generator) for draw, part in zip(drawers, parts, strict=True)]
    return torch.cat(drawn)


def _noise(ink: Tensor, count: int, generator: Generator) -> Tensor:
    """Pixels of ink at a density from nothing, a blank sheet, to everything; half of it grey."""
    density = torch.rand((count, 1, 1), generator=generator)
    pixels = torch.rand((count, SIDE, SIDE), generator=generator)
    grey = torch.rand((count, 1, 1), generator=generator) < 0.5
    return torch.where(grey, (pixels * 2 * density).clamp(max=1), (pixels < density).to(ink.dtype))


def _blots(ink: Tensor, count: int, generator: Generator) -> Tensor:
    """Smooth random shapes, from the size of a pen to that of the frame."""
    drawn = []
    for part, cells in zip(torch.arange(count).chunk(3), (4, 7, 12), strict=False):
        coarse = torch.rand((len(part), 1, cells, cells), generator=generator)
        smooth = F.interpolate(coarse, (SIDE, SIDE), mode="bicubic", align_corners=True)[:, 0]
        level = 0.4 + 0.4 * torch.rand((len(part), 1, 1), generator=generator)
        drawn.append((smooth > level).to(ink.dtype))
    return torch.cat(drawn) if drawn else ink[:0]


def _scrambled(ink: Tensor, count: int, generator: Generator) -> Tensor:
    """Digits cut into 16 or 64 tiles that are put together in another order."""
    chosen = ink[_choice(ink, count, generator)]
    drawn = []
    for part, tile in zip(chosen.chunk(2), (4, 8), strict=False):
        across = SIDE // tile
        tiles = part.reshape(len(part), across, tile, across, tile).transpose(2, 3)
        tiles = tiles.reshape(len(part), across * across, tile, tile)
        order = torch.rand((len(part), across * across), generator=generator).argsort(dim=1)
        tiles = tiles[torch.arange(len(part))[:, None], order]
        tiles = tiles.reshape(len(part), across, across, tile, tile).transpose(2, 3)
        drawn.append(tiles.reshape(len(part), SIDE, SIDE))
    return torch.cat(drawn)


def _joined(ink: Tensor, count: int, generator: Generator) -> Tensor:
    """A half of one digit, its other half that of another digit or blank; some lie on the side."""
    one = ink[_choice(ink, count, generator)]
    other = ink[_choice(ink, count, generator)]
    # Turned by a quarter, the other half continues no stroke.
    other = other.transpose(1, 2).flip(1)
    blank = torch.rand((count, 1, 1), generator=generator) < 0.5
    other = torch.where(blank, torch.zeros(()), other)
    middle = torch.arange(SIDE)[None, :, None] < SIDE // 2
    joined = torch.where(middle, one, other)
    turned = torch.rand((count, 1, 1), generator=generator) < 0.5
    return torch.where(turned, torch.where(middle.transpose(1, 2), one, other), joined)


def _lines(ink: Tensor, count: int, generator: Generator) -> Tensor:
    """One to four straight strokes of one pen."""
    ends = torch.rand((2, count, 4, 2), generator=generator) * (SIDE - 1)
    steps = torch.linspace(0, 1, 24)[:, None]
    points = ends[0][:, :, None] * (1 - steps) + ends[1][:, :, None] * steps  # (count, 4, 24, 2)
    strokes = torch.randint(1, 5, (count, 1, 1), generator=generator)
    kept = torch.arange(4)[None, :, None] < strokes
    radius = 1 + torch.rand((count, 1, 1), generator=generator) * 1.5
    near = []
    for axis in range(2):
        places = torch.where(kept, points[..., axis], torch.full((), -99.0)).flatten(1)
        # (count, 96, 32): how far each row or column lies from each point of the pen
        near.append(places[:, :, None] - torch.arange(SIDE))
    inside_row = (radius**2 - near[0] ** 2).clamp(min=0).sqrt()  # half of the pen's chord
    covered = torch.zeros((count, SIDE, SIDE), dtype=torch.bool)
    for point in range(near[0].shape[1]):
        covered |= near[1][:, point, None, :].abs() < inside_row[:, point, :, None]
    return covered.to(ink.dtype)


def _choice(ink: Tensor, count: int, generator: Generator) -> Tensor:
    return torch.randint(len(ink), (count,), generator=generator)
