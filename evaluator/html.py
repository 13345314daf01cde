"""Draw a record as one HTML file that needs nothing else."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluator.report import Record
from evaluator.table import notice, outcome_counts
from evaluator.template import find_template
from evaluator.verdict import MEANINGS
from gurmukhi.image import INK
from gurmukhi.labels import GLYPHS

# Divided by the number of its figures: the size in which a count fits its cell.
_FIGURES: Final = 32
_TELLING: Final = 0.05  # pairs of models under this p are shown


def render_html(record: Record, images: NDArray[np.uint8]) -> str:
    """The report's page; `images` (N, 32, 32) are those of the record's split."""
    return find_template("report.html").render(
        record=record,
        notice=notice(record),
        meaning=_meaning(record),
        counts=outcome_counts(record),
        states=_states(record["checks"]),
        failed=lambda key: _failed(record["checks"], key),
        failures=[check for check in record["checks"] if check["fault"]],
        glyphs=GLYPHS,
        matrices=_matrices,
        changes=[one for one in record["checks"] if one["evidence"].get("changed")],
        telling=[pair for pair in record["pairs"] if pair["p"] < _TELLING],
        tallest=lambda bins: max(one["calls"] for one in bins),
        ink=lambda index: ink_path(images[index]),
    )


def _meaning(record: Record) -> str:
    if record["exit_code"] == 0 and not any(one["check"] == "labels" for one in record["checks"]):
        return "Nothing failed; no answer was held against an offline one."
    return MEANINGS[record["exit_code"]]


def _states(checks: list[Record]) -> dict[str, str]:
    """check -> how it went on all subjects: the worst that was found."""
    states: dict[str, str] = {}
    for check in checks:
        state = "failed" if check["fault"] else "passed" if check["outcome"] == "pass" else "left"
        before = states.setdefault(check["check"], state)
        states[check["check"]] = min(before, state, key=("failed", "passed", "left").index)
    return states


def _failed(checks: list[Record], key: str) -> list[str]:
    """The checks that a version failed."""
    return list(
        dict.fromkeys(one["check"] for one in checks if one["subject"] == key and one["fault"])
    )


def _matrices(model: Record) -> list[tuple[str, list[dict[str, Any]]]]:
    """The pictures of a model: one where served and offline are equal, else both."""
    offline, served = (
        figures["confusion_matrix"] if figures else None
        for figures in (model["offline"], model["served"])
    )
    if served is None:
        return [("offline", _cells(offline))] if offline else []
    if offline is None or offline == served:
        return [("served" if offline is None else "served and offline", _cells(served))]
    return [("offline", _cells(offline)), ("served", _cells(served, offline))]


def _cells(matrix: list[list[int]], other: list[list[int]] | None = None) -> list[dict[str, Any]]:
    """A cell for each pair of classes, shaded by its share of the row."""
    return [
        {
            "row": row,
            "column": column,
            "count": count,
            "size": round(min(10, _FIGURES / len(str(count))), 1),
            "share": round(count / max(sum(counts), 1), 3),
            "differs": other is not None and other[row][column] != count,
        }
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
    ]


def ink_path(pixels: NDArray[np.uint8]) -> str:
    """An SVG path, in pixels, over the ink of an image (32, 32)."""
    return "".join(_runs(pixels == INK))


def _runs(ink: NDArray[np.bool_]) -> Iterator[str]:
    for y, row in enumerate(ink):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            yield f"M{start} {y}h{stop - start}v1h-{stop - start}z"
