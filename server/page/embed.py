"""Draw what the page shows of digits into it: `python -m server.page.embed`.

Ten examples of synthetic handwriting as packed bits, and ten glyphs as curves, since few machines
have a font of the script. A test compares what is in the page with what is drawn here.
"""

import base64
import json
from pathlib import Path
from typing import Final

import numpy as np

from gurmukhi.skeletons import DIGITS, Digit
from gurmukhi.strokes import read_families
from gurmukhi.synthetic import POSITIONS, synthetic_digits

INDEX: Final = Path(__file__).with_name("index.html")
_SEED: Final = 1  # of the first thirty, by eye: each digit in its commonest form, and none sloppy
_BEGIN: Final = "// Drawn by python -m server.page.embed:\n"
_END: Final = "// Drawn by hand again.\n"


def examples() -> list[bytes]:
    """The ten examples in the order of digits, 128 bytes each: a bit a pixel, row by row, 1 ink."""
    images, labels = synthetic_digits(10, _SEED)
    return [np.packbits(images[digit] == 0).tobytes() for digit in np.argsort(labels)]


def glyph(digit: Digit) -> str:
    """A digit's first hand as the path of an SVG, in a box of 100 by 100.

    The pieces of a Hermite spline are Bézier curves: their control points lie a third of the
    tangents from the ends.
    """
    hand = read_families(digit.hands, POSITIONS)[0].hands[0].astype(np.float64)  # (C, 3)
    place = 50 + hand[:, :2] * 50 * np.array([digit.aspect, 1])
    ends = np.concatenate([place[:1], place, place[-1:]])
    third = (ends[2:] - ends[:-2]) * hand[:, 2:] * 0.5 / 3
    path = f"M{_point(place[0])}"
    for here in range(len(place) - 1):
        controls = (place[here] + third[here], place[here + 1] - third[here + 1], place[here + 1])
        path += "C" + " ".join(_point(one) for one in controls)
    return path


def _point(place: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    x, y = np.rint(place).astype(int)
    return f"{x} {y}"


def block() -> str:
    """The lines of the script that hold both."""
    packed = [base64.b64encode(bits).decode() for bits in examples()]
    paths = [glyph(digit) for digit in DIGITS]
    return "".join(
        f"const {name} = {json.dumps(values, indent=2)};\n"
        for name, values in (("EXAMPLES", packed), ("GLYPHS", paths))
    )


def embed(html: str) -> str:
    """The page with both in their place."""
    head, begin, rest = html.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{INDEX.name} lacks the lines {_BEGIN!r} and {_END!r}")
    return head + begin + block() + end + tail


if __name__ == "__main__":
    INDEX.write_text(embed(INDEX.read_text(encoding="utf-8")), encoding="utf-8")
