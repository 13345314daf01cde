"""Lay out a line of values as an SVG plot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# In the units of the plot's viewBox.
WIDTH: Final = 300
_LEFT: Final = 6
_TOP: Final = 8
_HEIGHT: Final = 60


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a plot; None leaves its place empty."""

    value: float | None
    label: str
    bad: bool = False
    series: str = ""  # a line joins neighbours of one series alone
    hollow: bool = False
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Plot:
    """Points at their places, and what the edges and the last value stand for."""

    name: str
    points: tuple[Point, ...]  # that have a value
    gaps: tuple[Point, ...]  # that have none
    lines: tuple[tuple[Point, Point], ...]
    low: str
    high: str
    last: str


def make_plot(
    name: str,
    points: Sequence[Point],
    least_span: float,
    *,
    zero: bool,
    show: Callable[[float | None], str],
) -> Plot:
    """Place points from left to right between the least and the greatest value.

    The axis spans at least `least_span`, so that noise is not drawn as a cliff, and begins at
    zero where `zero` is set.
    """
    known = [point.value for point in points if point.value is not None]
    low, high = (min(known), max(known)) if known else (0.0, least_span)
    if zero:
        low, high = 0.0, max(high, least_span)
    elif high - low < least_span:
        middle = (low + high) / 2
        low, high = middle - least_span / 2, middle + least_span / 2
    step = (WIDTH - 2 * _LEFT) / max(len(points) - 1, 1)
    placed = [
        Point(
            point.value,
            point.label,
            point.bad,
            point.series,
            point.hollow,
            round(_LEFT + step * index, 1),
            round(_TOP + _HEIGHT * (1 - ((point.value or 0.0) - low) / (high - low)), 1),
        )
        for index, point in enumerate(points)
    ]
    lines = tuple(
        (one, other)
        for one, other in pairwise(placed)
        if one.value is not None and other.value is not None and one.series == other.series
    )
    return Plot(
        name,
        tuple(point for point in placed if point.value is not None),
        tuple(point for point in placed if point.value is None),
        lines,
        show(low),
        show(high),
        show(points[-1].value if points else None),
    )
