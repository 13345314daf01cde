"""Draw curves and counts; series differ by line and marker, never by hue alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator, NullFormatter

from trainer.plots import INK, new_figure

_ACCENT: Final = "#1f4e8c"  # as dark as a middle grey when printed
_PALE: Final = "#b8b8b8"
_MOST_TICKS: Final = 10
# Line, marker, grey: any two neighbours differ in all three.
_STYLES: Final = (
    ("-", "o", "#111111"),
    ("--", "s", "#555555"),
    (":", "^", "#111111"),
    ("-.", "D", "#777777"),
    ((0, (6, 1, 1, 1, 1, 1)), "v", "#333333"),
    ((0, (3, 3)), "P", "#666666"),
    ((0, (1, 3)), "X", "#222222"),
    ((0, (8, 2)), "<", "#888888"),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """A named series."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def loss_curves(panels: Sequence[tuple[str, Sequence[Curve]]], *, columns: int = 3) -> Figure:
    """Mean loss over epochs, one panel a family of curves, several on a logarithmic scale."""
    rows = -(-len(panels) // columns)
    figure = new_figure(4.2 * min(columns, len(panels)), 3.4 * rows)
    grid = figure.subplots(rows, min(columns, len(panels)), squeeze=False)
    for axes, (title, curves) in zip(grid.flat, panels, strict=False):
        _plot(axes, curves)
        if len(curves) > 1:
            axes.set_yscale("log")
            # Room above the curves for the legend: a third of a decade for two names.
            axes.set_ylim(top=axes.get_ylim()[1] * 10 ** (len(curves) / 6))
            axes.legend(fontsize=7, handlelength=3.5, loc="upper right", framealpha=1)
        axes.xaxis.set_major_locator(MultipleLocator(2, offset=1))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean loss")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    return figure


def seed_losses(runs: Sequence[Sequence[float]], published: Sequence[float] | None) -> Figure:
    """The losses of many seeds as a band of thin lines, and the published ones over them."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    for index, run in enumerate(runs):
        axes.plot(
            range(1, len(run) + 1), run, color=_PALE, lw=1, label=None if index else "each seed"
        )
    mean = np.mean(runs, axis=0)
    axes.plot(range(1, len(mean) + 1), mean, "-", color=INK, lw=1.6, label="mean of the seeds")
    if published is not None:
        axes.plot(
            range(1, len(published) + 1),
            published,
            "D",
            mfc="white",
            mec=_ACCENT,
            label="published",
        )
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MultipleLocator(2, offset=1))
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean loss (NLL)")
    axes.legend(handlelength=3)
    return figure


def accuracy_counts(correct: Sequence[int], total: int, published: int | None) -> Figure:
    """How many seeds got how many test images right, with the published count marked."""
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    counts = np.bincount(correct, minlength=total + 1)
    shown = [*correct, *([published] if published is not None else [])]
    first, last = min(shown) - 1, max(shown) + 1
    there = np.flatnonzero(counts)
    axes.bar(there, counts[there], width=0.8, color="#dddddd", edgecolor=INK, hatch="//")
    if published is not None:
        axes.axvline(published, color=_ACCENT, ls="--", lw=2)
        axes.annotate(
            f"published: {published}/{total}",
            (published, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            color=_ACCENT,
        )
    axes.set_xlim(first - 0.5, last + 0.5)
    ticks = range(first, last + 1, -(-(last - first) // _MOST_TICKS))
    axes.set_xticks(ticks, [f"{n}\n{n / total:.3f}" for n in ticks])
    axes.tick_params(axis="x", labelsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("test images right, and accuracy")
    axes.set_ylabel("seeds")
    return figure


def published_and_ours(
    titles: Sequence[str],
    published: Sequence[float],
    ours: Sequence[Sequence[float]],
    tolerance: float,
) -> Figure:
    """For each row the difference to the published accuracy in percentage points."""
    figure = new_figure(7.2, 0.34 * len(titles) + 1.0)
    axes = figure.subplots()
    places = range(len(titles))
    axes.axvspan(-100 * tolerance, 100 * tolerance, color="#ececec", label="bound")
    axes.axvline(0, color=_ACCENT, ls="--", label="published")
    for place, value, seeds in zip(places, published, ours, strict=True):
        axes.plot(
            [100 * (seed - value) for seed in seeds],
            [place] * len(seeds),
            "o",
            mfc="none",
            mec=INK,
        )
    axes.set_yticks(places, [f"{t}  ({p:.3f})" for t, p in zip(titles, published, strict=True)])
    axes.invert_yaxis()
    axes.set_xlabel("ours − published, percentage points (a circle a seed)")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def accuracy_against(
    curves: Sequence[Curve],
    *,
    xlabel: str,
    log_x: bool = False,
    ticks: Sequence[tuple[float, str]] | None = None,
    joined: bool = True,
) -> Figure:
    """Accuracy over something, one curve each; `joined` draws lines between its points."""
    figure = new_figure(6.8, 3.8)
    axes = figure.subplots()
    _plot(axes, curves, joined=joined)
    if log_x:
        axes.set_xscale("log")
    if ticks is not None:
        axes.set_xticks([x for x, _ in ticks], [label for _, label in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", labelsize=8)
        axes.margins(x=0.12)
    axes.set_xlabel(xlabel)
    axes.set_ylabel("accuracy on the test images")
    axes.legend(fontsize=8, handlelength=3.5)
    return figure


def gamma_curve(
    gammas: Sequence[float],
    accuracies: Sequence[float],
    digits: Sequence[float],  # −log₁₀ of the median kernel value
    *,
    marked: Sequence[tuple[float, str]],
) -> Figure:
    """Accuracy of the RBF machine over γ, and under it how small its kernel values are."""
    figure = new_figure(6.8, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(gammas, accuracies, "-o", color=INK, ms=4)
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1.05)
    lower.plot(gammas, digits, "--s", color="#555555", ms=4)
    for level, text in ((15.65, "2⁻⁵², lost beside 1"), (323.3, "0 in float64")):
        lower.axhline(level, color=_ACCENT, ls=":", lw=1.5)
        lower.annotate(
            text,
            (gammas[0], level),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8,
            color=_ACCENT,
        )
    lower.set_yscale("log")
    lower.set_ylabel("−log₁₀ of the median\nkernel value")
    lower.set_xlabel("γ")
    lower.set_xscale("log")
    for x, text in marked:
        for axes in (upper, lower):
            axes.axvline(x, color=_ACCENT, ls="-.", lw=1)
        upper.annotate(
            text,
            (x, 1.05),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=_ACCENT,
        )
    return figure


def _plot(axes: Axes, curves: Sequence[Curve], *, joined: bool = True) -> None:
    for curve, (line, marker, grey) in zip(curves, _STYLES, strict=False):
        axes.plot(
            curve.x,
            curve.y,
            ls=line if joined else "none",
            marker=marker,
            color=grey,
            mfc=grey if joined or marker == "o" else "none",
            ms=4 if joined else 7,
            lw=1.4,
            label=curve.label,
        )
