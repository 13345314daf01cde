"""Show how the nights that a history keeps went: as a table and bars, and as a page."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from evaluator.files import write_whole
from evaluator.flags import PROGRAM, add_model_flag
from evaluator.history import BROKEN_RECORD, broken_record, read_runs
from evaluator.latency import show_seconds
from evaluator.plot import Plot, Point, make_plot
from evaluator.report import Record
from evaluator.table import show_accuracy
from evaluator.template import find_template
from gurmukhi.command import Parser, whole_number
from gurmukhi.terminal import format_table

_BARS: Final = "▁▂▃▄▅▆▇█"
_HEADER: Final = ("night", "verdict", "model", "served", "differ", "p50", "p99")


@dataclass(frozen=True, slots=True)
class Night:
    """One version in one run."""

    run: Record
    model: Record

    @property
    def key(self) -> str:
        return f"{self.model['name']}:{self.model['version']}"

    @property
    def accuracy(self) -> float | None:
        served = self.model["served"]
        return served["accuracy"] if served else None

    @property
    def differing(self) -> int | None:
        served = self.model["served"]
        return served["differing"] if served else None

    @property
    def failed(self) -> bool:
        """Whether a check of this version failed."""
        return any(one["fault"] for one in self.run["checks"] if one["subject"] == self.key)

    def latency(self, quantile: str) -> float | None:
        value: float | None = self.model["latency_seconds"].get(quantile)
        return value


def make_history_parser() -> Parser:
    """The parser of `gurmukhi-evaluate history`."""
    parser = Parser(
        f"{PROGRAM} history",
        "List the runs that --record kept, and draw their course.",
        (
            f"{PROGRAM} history history.sqlite --model svm-rbf --last 30",
            f"{PROGRAM} history history.sqlite --html history.html",
        ),
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("history.sqlite"),
        metavar="FILE",
        help="the history (default: %(default)s)",
    )
    add_model_flag(parser)
    parser.add_argument(
        "--last",
        type=whole_number(1),
        default=30,
        metavar="N",
        help="the last N runs (default: %(default)s)",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="also draw the plots as a page of its own"
    )
    return parser


def history(arguments: argparse.Namespace) -> int:
    """Show a history, and draw it where a page is wanted."""
    runs = read_runs(arguments.file, arguments.last)
    try:
        courses = find_courses(runs, arguments.model)
        shown = show_courses(courses)
        page = render_history(runs, courses) if arguments.html else ""
    except BROKEN_RECORD as error:
        raise broken_record(arguments.file, error) from error
    print(shown)  # noqa: T201
    if arguments.html:
        write_whole(arguments.html, page)
        print(f"page: {arguments.html}")  # noqa: T201
    return 0


def find_courses(runs: Sequence[Record], wanted: Sequence[str] = ()) -> dict[str, list[Night]]:
    """name:version -> its nights, the oldest first; all versions, or those wanted."""
    nights = [Night(run, model) for run in runs for model in run["models"]]
    courses: dict[str, list[Night]] = {}
    for one in nights:
        if not wanted or one.key in wanted or one.model["name"] in wanted:
            courses.setdefault(one.key, []).append(one)
    return courses


def show_courses(courses: dict[str, list[Night]]) -> str:
    """A row for each night and version, then the course of each version as a line of bars."""
    if not courses:
        return "no run is recorded"
    nights = [night for course in courses.values() for night in course]
    nights.sort(key=lambda night: str(night.run["started"]))
    bars = [
        (
            key,
            draw_bars([one.accuracy for one in course]),
            draw_bars([one.differing for one in course]),
            draw_bars([one.latency("p99") for one in course]),
        )
        for key, course in courses.items()
    ]
    header = ("model", "accuracy", "labels that differ", "p99")
    return format_table(_HEADER, map(_row, nights)) + "\n\n" + format_table(header, bars)


def _row(night: Night) -> tuple[str, ...]:
    synthetic = " (synthetic)" if night.run["data"]["synthetic"] else ""
    latency, differing = night.model["latency_seconds"], night.differing
    return (
        _minute(night.run),
        night.run["verdict"],
        night.key,
        show_accuracy(night.model["served"]) + synthetic,
        "–" if differing is None else str(differing),
        show_seconds(latency["p50"]) if latency else "–",
        show_seconds(latency["p99"]) if latency else "–",
    )


def _minute(run: Record) -> str:
    return datetime.fromisoformat(run["started"]).strftime("%Y-%m-%d %H:%M")


def draw_bars(values: Sequence[float | None]) -> str:
    """A bar for each value between the least and the greatest; · where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return "·" * len(values)
    low, span = min(known), max(known) - min(known)
    return "".join(
        "·"
        if value is None
        else _BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 0]
        for value in values
    )


def render_history(runs: Sequence[Record], courses: dict[str, list[Night]]) -> str:
    """The page of a history: how the last night went, then each version's plots."""
    return find_template("history.html").render(
        runs=list(reversed(runs)),
        minute=_minute,
        courses=[(key, one[0], one[-1], _plots(one)) for key, one in courses.items()],
    )


def _plots(course: Sequence[Night]) -> list[Plot]:
    """Accuracy, parity and latency of one version by night."""

    def draw(name: str, values: list[float | None], least_span: float, *, zero: bool) -> Plot:
        shown = [_shown(name, value) for value in values]
        points = [
            Point(
                value,
                f"{_minute(night.run)}: {text}, {night.run['verdict']}",
                bad=night.failed,
                # Figures on other images are no continuation of these.
                series=f"{night.run['data']['source']} {night.run['data']['sha256']}",
                hollow=night.run["data"]["synthetic"],
            )
            for night, value, text in zip(course, values, shown, strict=True)
        ]
        return make_plot(name, points, least_span, zero=zero, show=lambda y: _shown(name, y))

    return [
        draw("accuracy", [one.accuracy for one in course], 0.02, zero=False),
        draw("labels that differ", [one.differing for one in course], 1, zero=True),
        draw("p50", [one.latency("p50") for one in course], 0.0001, zero=True),
        draw("p99", [one.latency("p99") for one in course], 0.0001, zero=True),
    ]


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "no answer"
    if name == "accuracy":
        return f"{100 * value:.2f} %"
    return f"{value:.0f}" if name == "labels that differ" else show_seconds(value)
