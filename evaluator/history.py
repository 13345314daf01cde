"""Keep the record of each run in an SQLite file."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from evaluator.report import Record
from gurmukhi.errors import DataError

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
        raise broken_record(path, error) from error


def broken_record(path: Path, error: Exception) -> DataError:
    """What to say of a history with a run that cannot be read."""
    return DataError(f"{path}: holds a run that is no report ({error!r:.200})")


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
