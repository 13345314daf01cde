"""Read a picture of a handwritten digit as the 32×32 bilevel image that the models know.

This is the one place that decodes. The data set loader, the server and the client all call it,
so that one polarity and one frame hold everywhere: 0 is ink, 255 is paper.
"""

import io
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

SIDE: Final = 32
INK: Final = 0
PAPER: Final = 255
FORMATS: Final = ("PNG", "BMP", "TIFF", "JPEG", "WEBP")
# A phone's picture has 12 to 50 million pixels; decoded to grey and colour that is 250 MB at most.
MAX_PIXELS: Final = 50_000_000

INVERTED: Final = "inverted"
SEVERAL_GLYPHS: Final = "several glyphs"

# Below this span of grey values a picture is paper and its noise.
_MIN_CONTRAST: Final = 32
# Ink may run along the frame: the data set's fullest border is 34 % ink. Past half it is a
# light glyph on a dark ground.
_INVERTED_BORDER: Final = 0.5
# Work on at most this many pixels a side: past it, detail is far below a pixel of the result.
_WORKING_SIDE: Final = 512


@dataclass(frozen=True, slots=True)
class DigitImage:
    """A decoded digit: `pixels` uint8 (32, 32), 0 ink and 255 paper, and what was noticed."""

    pixels: NDArray[np.uint8]
    warnings: tuple[str, ...] = ()


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> DigitImage:
    """Decode a PNG, BMP, TIFF, JPEG or WebP file and fit its digit to the frame.

    Raises UndecodableImageError, TruncatedImageError, ImageTooLargeError or BlankImageError.
    """
    return fit_frame(read_grey(data, max_pixels=max_pixels))


def read_grey(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
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
        try:
            return _grey(picture)
        except Exception as error:  # as above: the header was sound, the body is not
            if _is_truncation(error):
                raise TruncatedImageError(
                    f"the {kind} image of {width}×{height} ends after {len(data)} bytes"
                ) from error
            raise UndecodableImageError(f"the {kind} image is damaged: {error}") from error


def _grey(picture: Image.Image) -> NDArray[np.uint8]:
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):  # 16- and 32-bit grey: keep the order, not the scale
        values = np.asarray(upright, dtype=np.float64)
        low, span = values.min(), np.ptp(values)
        if not np.isfinite(span):
            raise ValueError("its pixels are not finite numbers")
        grey = ((values - low) * (PAPER / span if span else 0)).round()
        return np.asarray(grey, dtype=np.uint8)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        paper = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(paper, upright)
    return np.array(upright.convert("L"), dtype=np.uint8)


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
    Any other is split into ink and paper (Otsu 1979), cropped to its ink and scaled to 32×32.
    Raises BlankImageError.
    """
    low, high = int(grey.min()), int(grey.max())
    if high - low < _MIN_CONTRAST:
        raise BlankImageError(f"the image is blank: its grey values lie between {low} and {high}")
    fitted = grey.shape == (SIDE, SIDE) and bool(((grey == INK) | (grey == PAPER)).all())
    if not fitted:
        grey = _bounded(grey)
    ink = grey <= (INK if fitted else _otsu_threshold(grey))
    warnings: list[str] = []
    if _border(ink).mean() > _INVERTED_BORDER:
        ink = ~ink
        warnings.append(INVERTED)
    if not fitted:
        ink = _crop(_without_specks(ink))
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


def _otsu_threshold(grey: NDArray[np.uint8]) -> int:
    """The grey value that splits the histogram with the least variance inside the halves.

    Source: N. Otsu, "A threshold selection method from gray-level histograms", 1979, eq. 18.
    """
    share = np.bincount(grey.ravel(), minlength=256) / grey.size
    weight = np.cumsum(share)  # ω(k)
    mean = np.cumsum(share * np.arange(256))  # μ(k)
    spread = weight * (1 - weight)
    between = np.zeros(256)
    split = spread > 0
    between[split] = (mean[-1] * weight[split] - mean[split]) ** 2 / spread[split]
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))  # a plateau: take its middle
    return int(best[len(best) // 2])


def _border(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.concatenate([ink[0], ink[-1], ink[1:-1, 0], ink[1:-1, -1]])


def _without_specks(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop ink with fewer than two inked neighbours, where the picture is large enough for that."""
    if min(ink.shape) <= 2 * SIDE:
        return ink
    padded = np.pad(ink, 1).astype(np.uint8)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    neighbours = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    kept = ink & (neighbours >= 3)
    return kept if kept.any() else ink


def _crop(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        raise BlankImageError("the image is blank: no ink is left once its ground is known")
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _has_several_glyphs(ink: NDArray[np.bool_]) -> bool:
    """Whether a broad band of paper divides the ink into parts that could each be a digit."""
    return _is_divided(ink) or _is_divided(ink.T)


def _is_divided(ink: NDArray[np.bool_]) -> bool:
    height = ink.shape[0]
    inked = ink.any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    if len(starts) < 2:
        return False
    tall = [
        np.ptp(np.flatnonzero(ink[:, start:stop].any(axis=1))) >= 0.4 * height
        for start, stop in zip(starts, stops, strict=True)
    ]
    wide = [stop - start >= 0.15 * height for start, stop in zip(starts, stops, strict=True)]
    return [t and w for t, w in zip(tall, wide, strict=True)].count(True) >= 2


def _scale(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Stretch the cropped ink to the frame; a pixel is ink where the stroke covers enough of it."""
    cover = Image.fromarray(ink.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX)
    share = np.asarray(cover)
    # A stroke thinner than a pixel never covers half of one: ask for half of what it does cover.
    full = float(np.quantile(share[share > 0], 0.9))
    return np.asarray(share >= 0.5 * full)
