"""Draw what the studies found, as SVG that reads in black and white.

The glyphs ੦…੯ come from a font of our own
(`trainer/fonts`), since no system font may be there; numbers and words from matplotlib's.
"""

import io
from collections.abc import Sequence
from functools import cache
from importlib.resources import as_file, files
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from gurmukhi.labels import CLASS_COUNT, GLYPHS

INK: Final = "#111111"


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG, the same bytes each time."""
    # A fixed salt gives the same identifiers; text is drawn, and needs no font where it is read.
    settings = mpl.rc_context({"svg.hashsalt": "gurmukhi-digits", "svg.fonttype": "path"})
    with settings, io.BytesIO() as buffer:
        figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
        return buffer.getvalue()


def confusion_grid(
    panels: Sequence[tuple[str, NDArray[np.int64]]], *, glyphs: bool, columns: int = 3
) -> Figure:
    """Confusion matrices side by side: every cell its count, errors shaded by their share."""
    rows = -(-len(panels) // columns)
    figure = new_figure(3.5 * columns, 3.6 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (title, matrix) in zip(grid.flat, panels, strict=False):
        _confusion(axes, title, matrix, glyphs=glyphs)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    return figure


def _confusion(axes: Axes, title: str, matrix: NDArray[np.int64], *, glyphs: bool) -> None:
    errors = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(errors, 0.0)
    # The square root lets a share of 1 % show beside one of 50 %.
    axes.imshow(np.sqrt(errors), cmap="Greys", vmin=0.0, vmax=1.0)
    for (true, predicted), count in np.ndenumerate(matrix):
        if count:
            dark = errors[true, predicted] > 0.25
            axes.text(
                predicted,
                true,
                str(count),
                ha="center",
                va="center",
                fontsize=6 if count < 1000 else 5,
                color="white" if dark else INK,
                fontweight="bold" if true == predicted else "normal",
                in_layout=False,  # it lies within its cell; measuring hundreds takes seconds
            )
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("predicted", fontsize=8)
    axes.set_ylabel("true", fontsize=8)
    labels = GLYPHS if glyphs else tuple(map(str, range(CLASS_COUNT)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(CLASS_COUNT), labels)
        for tick in axis.get_ticklabels():
            tick.set_fontproperties(_glyph_font(11) if glyphs else FontProperties(size=7))
    axes.tick_params(length=0)


def sample_grid(
    images: NDArray[np.uint8], captions: Sequence[str], *, columns: int, inches: float = 0.62
) -> Figure:
    """Images (N, h, w) in rows, as they look on paper; a caption is one glyph or plain words.

    All of them are one picture: a panel for each would take seconds to lay out.
    """
    rows = -(-len(images) // columns)
    height, width = images.shape[1:]
    gap = width // 5
    caption = round(height * 0.6)  # room for a line of text
    step_y, step_x = height + caption, width + gap
    sheet = np.full((rows * step_y + 1, columns * step_x), 255, np.uint8)
    figure = Figure(figsize=(inches * columns, inches * rows * step_y / step_x))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    for place, (image, text) in enumerate(zip(images, captions, strict=True)):
        top = place // columns * step_y + caption
        left = place % columns * step_x + gap // 2
        sheet[top : top + height, left : left + width] = image
        font = _glyph_font(11) if set(text) <= {*GLYPHS, " "} else FontProperties(size=7)
        axes.text(left + width / 2, top - 2.5, text, ha="center", va="bottom", fontproperties=font)
        axes.add_patch(
            Rectangle((left - 0.5, top - 0.5), width, height, fill=False, ec="#999999", lw=0.6)
        )
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    return figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that finds room for its labels by itself."""
    return Figure(figsize=(width, height), layout="constrained")


def _glyph_font(size: float) -> FontProperties:
    return FontProperties(fname=font_path(), size=size)


@cache
def font_path() -> str:
    """The file of the font with the ten glyphs."""
    with as_file(files("trainer") / "fonts" / "gurmukhi-digits.ttf") as path:
        return str(path)
