"""Keep the record of each run in an SQLite file, and show how the nights went."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evaluator.latency import show_seconds
from evaluator.report import Record
from evaluator.table import show_accuracy
from gurmukhi.errors import DataError
from gurmukhi.terminal import format_table

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = f"""
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    target TEXT NOT NULL,
    verdict TEXT NOT NULL,
    exit_code INTEGER NOT NULL,
    record TEXT NOT NULL  -- the report.json
);
PRAGMA user_version = {_SCHEMA_VERSION};
"""
# What comes of reading a record that is none.
BROKEN_RECORD: Final = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)
_MAGIC: Final = b"SQLite format 3\0"
_BARS: Final = "▁▂▃▄▅▆▇█"
_HEADER: Final = ("night", "verdict", "model", "served", "differ", "p50", "p99")


def is_history(path: Path) -> bool:
    """Whether a file is an SQLite database rather than a report."""
    with path.open("rb") as opened:
        return opened.read(len(_MAGIC)) == _MAGIC


def append_run(path: Path, record: Record) -> None:
    """Append a run's record, in one transaction; makes the file where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as database, database:
        database.execute(
            "INSERT INTO runs (started, target, verdict, exit_code, record) VALUES (?, ?, ?, ?, ?)",
            (
                record["started"],
                record["target"],
                record["verdict"],
                record["exit_code"],
                json.dumps(record, ensure_ascii=False),
            ),
        )


def read_runs(path: Path, limit: int) -> list[Record]:
    """The last runs, the oldest first; raises DataError."""
    if not path.is_file():
        raise DataError(f"{path}: no such history; gurmukhi-evaluate --record {path} begins one")
    with _opened(path) as database:
        rows = database.execute(
            "SELECT record FROM runs ORDER BY started DESC, id DESC LIMIT ?", (limit,)
        ).fetchall()
    try:
        return [json.loads(text) for (text,) in reversed(rows)]
    except BROKEN_RECORD as error:
        raise DataError(f"{path}: holds a run that is no report ({error!r:.200})") from error


def last_pass(path: Path) -> Record:
    """The newest run that passed; raises DataError."""
    with _opened(path) as database:
        row = database.execute(
            "SELECT record FROM runs WHERE exit_code = 0 ORDER BY started DESC, id DESC LIMIT 1"
        ).fetchone()
    if row is None:
        raise DataError(f"{path}: no run in it passed")
    record: Record = json.loads(row[0])
    return record


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                database.executescript(_SCHEMA)
            elif version != _SCHEMA_VERSION:
                raise DataError(f"{path}: its schema is {version}, expected {_SCHEMA_VERSION}")
            yield database
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a usable history ({error})") from error


@dataclass(frozen=True, slots=True)
class _Night:
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
    def p99(self) -> float | None:
        value: float | None = self.model["latency_seconds"].get("p99")
        return value


def show_history(runs: Sequence[Record], wanted: Sequence[str] = ()) -> str:
    """A row for each night and version, then the course of each version as a line of bars.

    Raises DataError where a run is no report.
    """
    try:
        return _show_nights(runs, wanted)
    except BROKEN_RECORD as error:
        raise DataError(f"a run in the history is no report ({error!r:.200})") from error


def _show_nights(runs: Sequence[Record], wanted: Sequence[str]) -> str:
    nights = [_Night(run, model) for run in runs for model in run["models"]]
    nights = [
        one for one in nights if not wanted or one.key in wanted or one.model["name"] in wanted
    ]
    if not nights:
        return "no run is recorded"
    parts = [format_table(_HEADER, map(_row, nights))]
    courses = []
    for key in dict.fromkeys(one.key for one in nights):
        course = [one for one in nights if one.key == key]
        differing = [_differing(one) for one in course]
        courses.append(
            (
                key,
                draw_bars([one.accuracy for one in course]),
                draw_bars(differing),
                draw_bars([one.p99 for one in course]),
            )
        )
    header = ("model", "accuracy", "labels that differ", "p99")
    parts.append(format_table(header, courses))
    return "\n\n".join(parts)


def _row(night: _Night) -> tuple[str, ...]:
    synthetic = " (synthetic)" if night.run["data"]["synthetic"] else ""
    latency, differing = night.model["latency_seconds"], _differing(night)
    return (
        night.run["started"][:16].replace("T", " "),
        night.run["verdict"],
        night.key,
        show_accuracy(night.model["served"]) + synthetic,
        "–" if differing is None else str(differing),
        show_seconds(latency["p50"]) if latency else "–",
        show_seconds(latency["p99"]) if latency else "–",
    )


def _differing(night: _Night) -> int | None:
    served = night.model["served"]
    return served["differing"] if served else None


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
