"""Show tables and progress: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TextIO

_BAR_WIDTH: Final = 24
_BAR_SECONDS: Final = 0.1  # between two drawings of the bar
_LINE_SECONDS: Final = 10.0  # between two lines of a log


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align cells in columns: text to the left, numbers to the right."""
    body = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    numeric = [
        bool(body) and all(_is_numeric(row[column]) for row in body)
        for column in range(len(header))
    ]
    lines = []
    for row in [list(header), ["─" * width for width in widths], *body]:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _is_numeric(cell: str) -> bool:
    return cell in ("–", "") or cell[0].isdigit() or cell[:2] in ("-0", "−0")


class Progress:
    """How far a task of `total` steps has come; call `advance` after each.

    On a terminal one line is redrawn; elsewhere a line is written every few seconds, and one at
    the end.
    """

    def __init__(self, label: str, total: int, stream: TextIO, *, quiet: bool = False) -> None:
        self._label = label
        self._total = total
        self._stream = stream
        self._quiet = quiet
        self._is_terminal = self._stream.isatty()
        self._started = time.monotonic()
        self._shown = self._started
        self._done = 0
        self._note = ""
        self._unshown = True

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count steps as done, with a word on the latest one, such as its loss."""
        self._done += steps
        self._note = note
        self._unshown = True
        pause = _BAR_SECONDS if self._is_terminal else _LINE_SECONDS
        if not self._quiet and time.monotonic() - self._shown >= pause:
            self._show()

    def finish(self) -> None:
        """Show the last state and end the line."""
        if self._quiet:
            return
        if self._is_terminal or self._unshown:
            self._show()
        if self._is_terminal:
            self._stream.write("\n")
            self._stream.flush()

    def _show(self) -> None:
        self._unshown = False
        self._shown = time.monotonic()
        seconds = self._shown - self._started
        left = seconds / self._done * (self._total - self._done) if self._done else 0.0
        text = f"{self._done}/{self._total}  {_clock(seconds)}"
        if self._done < self._total:
            text += f", {_clock(left)} left"
        if self._note:
            text += f"  {self._note}"
        if self._is_terminal:
            filled = round(_BAR_WIDTH * self._done / max(self._total, 1))
            bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
            self._stream.write(f"\r{self._label} {bar} {text}\x1b[K")
        else:
            self._stream.write(f"{self._label}: {text}\n")
        self._stream.flush()


@contextmanager
def progress(label: str, total: int, *, quiet: bool = False) -> Iterator[Progress]:
    """Show progress for the length of a block; `quiet` shows none."""
    shown = Progress(label, total, sys.stderr, quiet=quiet)
    try:
        yield shown
    finally:
        shown.finish()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
