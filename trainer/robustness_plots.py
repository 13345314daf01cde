"""Plot accuracy against the strength of corruptions, and confidence against accuracy."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.corruptions import CORRUPTIONS, Corruption
from trainer.plots import INK, new_figure

_COLUMNS: Final = 4
_MARKERS: Final = "os^Dv"  # a model's; its second version is filled


def plot_robustness(
    measured: Sequence[tuple[str, float, Mapping[str, Sequence[float]]]],
) -> Figure:
    """A panel for each corruption, a line for each model: its name, clean accuracy, accuracies."""
    rows = -(-len(CORRUPTIONS) // _COLUMNS)
    figure = new_figure(3 * _COLUMNS, 2.2 * rows)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True)
    for axes, corruption in zip(grid.flat, CORRUPTIONS, strict=False):
        _draw_corruption(axes, corruption, measured)
    for axes in grid.flat[len(CORRUPTIONS) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("accuracy, %")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _draw_corruption(
    axes: Axes,
    corruption: Corruption,
    measured: Sequence[tuple[str, float, Mapping[str, Sequence[float]]]],
) -> None:
    names = list(dict.fromkeys(name.split("/")[0] for name, *_ in measured))
    for name, clean, accuracy in measured:
        model, _, version = name.partition("/")
        newest = version != "1"
        axes.plot(
            range(4),
            [100 * value for value in (clean, *accuracy[corruption.name])],
            color=INK if newest else "0.6",
            linestyle="-" if newest else "--",
            linewidth=1.1 if newest else 0.8,
            marker=_MARKERS[names.index(model) % len(_MARKERS)],
            markersize=4,
            markerfacecolor=INK if newest else "white",
            label=name,
        )
    axes.set_title(corruption.name + (" *" if corruption.bounded else ""), fontsize=9)
    axes.set_xticks(range(4), ["none", *(f"{s:g}" for s in corruption.strengths)], fontsize=7)
    axes.set_xlabel(corruption.unit.strip(), fontsize=7)
    axes.set_ylim(0, 102)


def plot_reliability(
    panels: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
) -> Figure:
    """How often each version is right at each confidence: out of fold, and mildly corrupted."""
    figure = new_figure(2.6 * len(panels), 2.9)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (name, out_of_fold, corrupted) in zip(grid, panels, strict=True):
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
        for reliability, fill, label in (
            (out_of_fold, INK, "training images, out of fold"),
            (corrupted, "white", "test images, mildly corrupted"),
        ):
            if not reliability:
                continue
            bins = [
                (confidence, accuracy, count)
                for confidence, accuracy, count in zip(
                    reliability["confidences"],
                    reliability["accuracies"],
                    reliability["counts"],
                    strict=True,
                )
                if count
            ]
            confidences, accuracies, counts = zip(*bins, strict=True)
            axes.scatter(
                confidences,
                accuracies,
                s=[6 + 60 * count / sum(counts) for count in counts],
                facecolor=fill,
                edgecolor=INK,
                linewidth=0.8,
                label=f"{label} (ECE {100 * reliability['error']:.1f} %)",
            )
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("confidence")
        axes.legend(loc="lower right", fontsize=5, framealpha=0.9)
    grid[0].set_ylabel("share that is right")
    return figure
