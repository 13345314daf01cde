"""Read a picture of a handwritten digit as the 32×32 bilevel image that the models know.

This is the one place that decodes. The data set loader, the server and the client all call it,
so that one polarity and one frame hold everywhere: 0 is ink, 255 is paper.
"""

import io
import itertools
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gurmukhi.errors import (
    BlankImageError,
    ImageTooLargeError,
    TruncatedImageError,
    UndecodableImageError,
)
from gurmukhi.ink import Mask, border, dark_pixels, without_dust

SIDE: Final = 32
INK: Final = 0
PAPER: Final = 255
FORMATS: Final = ("PNG", "BMP", "TIFF", "JPEG", "WEBP")
# A phone's picture has 12 to 50 million pixels; decoded to colour that is 200 MB at most.
MAX_PIXELS: Final = 50_000_000
# What a server decodes for a caller: a few kilobytes of paper may unpack to any size, and
# this much takes a third of a second.
MAX_SERVED_PIXELS: Final = 16_000_000

# What it decodes for one call, whose message may carry forty such pictures.
MAX_CALL_PIXELS: Final = 2 * MAX_SERVED_PIXELS

INVERTED: Final = "inverted"
SEVERAL_GLYPHS: Final = "several glyphs"

# Ink may run along the frame: the data set's fullest border is 34 % ink. Past half it is a
# light glyph on a dark ground.
_INVERTED_BORDER: Final = 0.5
# Work on at most this many pixels a side: past it, detail is far below a pixel of the result.
_WORKING_SIDE: Final = 512
_REDUCIBLE: Final = ("L", "LA", "RGB", "RGBA", "CMYK")


@dataclass(frozen=True, slots=True)
class DigitImage:
    """A decoded digit: `pixels` uint8 (32, 32), 0 ink and 255 paper, and what was noticed."""

    pixels: NDArray[np.uint8]
    warnings: tuple[str, ...] = ()


class PixelBudget:
    """How many pixels may be decoded of several pictures together."""

    def __init__(self, pixels: int) -> None:
        self._pixels = self._left = pixels

    def spend(self, pixels: int) -> None:
        """Take a picture's share, before it is decoded; raises ImageTooLargeError."""
        if pixels > self._left:
            raise ImageTooLargeError(
                f"the images up to this one have over {self._pixels} pixels together; "
                f"no more are decoded for one call"
            )
        self._left -= pixels


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, budget: PixelBudget | None = None
) -> DigitImage:
    """Decode a PNG, BMP, TIFF, JPEG or WebP file and fit its digit to the frame.

    Raises UndecodableImageError, TruncatedImageError, ImageTooLargeError or BlankImageError.
    """
    return fit_frame(read_grey(data, max_pixels=max_pixels, budget=budget))


def read_grey(
    data: bytes, *, max_pixels: int = MAX_PIXELS, budget: PixelBudget | None = None
) -> NDArray[np.uint8]:
    """Decode a picture to grey values, uint8 (height, width), with transparency on white."""
    if not data:
        raise UndecodableImageError("the image is empty (0 bytes)")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLargeError(f"the image has over {max_pixels} pixels") from error
    except Exception as error:  # a hostile file makes Pillow raise nearly anything
        raise UndecodableImageError(
            f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image ({len(data)} bytes)"
        ) from error
    with picture:
        kind = picture.format
        width, height = picture.size
        if width * height > max_pixels:
            raise ImageTooLargeError(
                f"the {kind} image is {width}×{height}; at most {max_pixels} pixels are decoded"
            )
        if budget:
            budget.spend(width * height)
        try:
            return _grey(picture)
        except Exception as error:  # as above: the header was sound, the body is not
            if _is_truncation(error):
                raise TruncatedImageError(
                    f"the {kind} image of {width}×{height} ends after {len(data)} bytes"
                ) from error
            raise UndecodableImageError(f"the {kind} image is damaged: {error}") from error


def _grey(picture: Image.Image) -> NDArray[np.uint8]:
    picture.draft(None, (2 * _WORKING_SIDE, 2 * _WORKING_SIDE))  # a JPEG can be read in part
    picture.load()
    if (factor := max(picture.size) // _WORKING_SIDE) > 1 and picture.mode in _REDUCIBLE:
        picture = picture.reduce(factor)
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        return _eight_bits(np.asarray(upright, dtype=np.float64))
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        paper = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(paper, upright)
    return np.array(upright.convert("L"), dtype=np.uint8)


def _eight_bits(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey values of 16 or 32 bits or of floats as 0 to 255, the brightest for white.

    What white is in them is not said: 4095 where a scanner gives 12 bits, 1.0 in floats.
    """
    black = min(0.0, float(values.min()))
    span = float(values.max()) - black
    if not np.isfinite(span):
        raise ValueError("its pixels are not finite numbers")
    return np.asarray(((values - black) / (span or 1) * PAPER).round(), dtype=np.uint8)


def _is_truncation(error: Exception) -> bool:
    if isinstance(error, EOFError | struct.error):
        return True
    text = str(error).lower()
    return any(
        word in text for word in ("truncated", "not enough", "unexpected end", "broken data")
    )


def fit_frame(grey: NDArray[np.uint8]) -> DigitImage:
    """Fit a grey picture, uint8 (height, width), to the frame as the data set's glyphs are.

    A 32×32 bilevel picture passes bit for bit unless its border says that it is inverted.
    Any other is split into ink and paper, freed of dust, cropped to its ink and scaled to 32×32.
    Raises BlankImageError.
    """
    fitted = grey.shape == (SIDE, SIDE) and np.array_equal(np.unique(grey), (INK, PAPER))
    ink = grey == INK if fitted else dark_pixels(_bounded(grey))
    warnings: list[str] = []
    if border(ink).mean() > _INVERTED_BORDER:
        ink = ~ink
        warnings.append(INVERTED)
    if not fitted:
        ink = _crop(without_dust(ink))
        if _has_several_glyphs(ink):
            warnings.append(SEVERAL_GLYPHS)
        ink = _scale(ink)
    pixels = np.where(ink, np.uint8(INK), np.uint8(PAPER))
    return DigitImage(pixels, tuple(warnings))


def _bounded(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a large picture by averaging, so that the work below is bounded."""
    factor = -(-max(grey.shape) // _WORKING_SIDE)
    if factor == 1:
        return grey
    return np.asarray(Image.fromarray(grey).reduce(factor), dtype=np.uint8)


def _crop(ink: Mask) -> Mask:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        raise BlankImageError("the image is blank: no ink is left once its ground is known")
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _has_several_glyphs(ink: Mask) -> bool:
    """Whether a broad band of paper divides the ink into parts that could each be a digit."""
    return _is_divided(ink) or _is_divided(ink.T)


def _is_divided(ink: Mask) -> bool:
    height = ink.shape[0]
    inked = ink.any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(np.int8)))
    glyphs = [
        (start, stop)
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
        if stop - start >= 0.15 * height
        and np.ptp(np.flatnonzero(ink[:, start:stop].any(axis=1))) >= 0.4 * height
    ]
    # Digits of two strokes have gaps too: 6 % is the broadest of the real ones.
    return any(start - stop >= 0.1 * height for (_, stop), (start, _) in itertools.pairwise(glyphs))


def _scale(ink: Mask) -> Mask:
    """Stretch the cropped ink to the frame; a pixel is ink where the stroke covers enough of it."""
    cover = Image.fromarray(ink.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX)
    share = np.asarray(cover)
    # A stroke thinner than a pixel never covers half of one: ask for half of what it does cover.
    full = float(np.quantile(share[share > 0], 0.9))
    return np.asarray(share >= 0.5 * full)
