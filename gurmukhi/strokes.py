"""Turn skeletons into strokes: read the hands, blend two of them and trace a smooth curve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Strokes:
    """A family of H hands, each of C control points, to be traced at P pen positions."""

    weight: float
    hands: Floats  # (H, C, 3): x and y in -1..1, then 1 at a smooth point and 0 at a corner
    knot: NDArray[np.intp]  # (P,) the control point that a pen position follows
    along: Floats  # (P, 1) how far it is towards the next one, 0..1

    def blend(self, one: Floats, other: Floats, weight: Floats) -> Floats:
        """Mix hands chosen by numbers in 0..1: three times (n,) to control points (n, C, 3)."""
        count = len(self.hands)
        first = self.hands[(one * count).astype(np.intp)]
        second = self.hands[(other * count).astype(np.intp)]
        return first + (second - first) * weight[:, None, None]

    def trace(self, control: Floats, tension: Floats) -> Floats:
        """Trace control points (n, C, 3) with tension (n, 1, 1) to pen positions (n, P, 2).

        The curve is a cubic Hermite spline, a Catmull-Rom one where the tension is 0.5; at a
        corner its tangent vanishes.
        """
        place, smooth = control[..., :2], control[..., 2:]
        ends = np.concatenate([place[:, :1], place, place[:, -1:]], axis=1)
        tangent = (ends[:, 2:] - ends[:, :-2]) * (smooth * tension)
        knot, u = self.knot, self.along
        v = 1 - u
        curve: Floats = place[:, knot] * ((u + u + 1) * v * v)
        curve += place[:, knot + 1] * ((v + v + 1) * u * u)
        curve += tangent[:, knot] * (u * v * v)
        curve -= tangent[:, knot + 1] * (u * u * v)
        return curve


def read_families(text: str, positions: int) -> list[Strokes]:
    """Read a digit's families in the notation of `skeletons`, to be traced at `positions`."""
    families: list[tuple[float, list[str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("family"):
            weight, _, _ = line.removeprefix("family").partition(":")
            families.append((float(weight), []))
        elif not line.startswith("#"):
            families[-1][1].append(line)
    return [_prepare(weight, hands, positions) for weight, hands in families]


def _prepare(weight: float, lines: list[str], positions: int) -> Strokes:
    """Read a family and share the pen positions out by the segments' mean lengths."""
    hands = np.array([[_control_point(p) for p in line.split()] for line in lines], np.float32)
    step = np.diff(hands[..., :2].astype(np.float64), axis=1)
    length = np.sqrt(step[..., 0] ** 2 + step[..., 1] ** 2).mean(axis=0)
    travelled = np.append(0, np.cumsum(length))
    # just short of the end, which no segment follows
    at = np.linspace(0, travelled[-1], positions) * (1 - 1e-6)
    knot = np.searchsorted(travelled, at, side="right") - 1
    along = (at - travelled[knot]) / length[knot]
    return Strokes(weight, hands, knot, along.astype(np.float32)[:, None])


def _control_point(point: str) -> tuple[float, float, float]:
    x, y = point.rstrip("!").split(",")
    return int(x) / 50 - 1, int(y) / 50 - 1, 0.0 if point.endswith("!") else 1.0
