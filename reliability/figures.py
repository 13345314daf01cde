"""What the trials found, each figure with the limit that it is held against."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from evaluator.files import write_whole

_BEGIN: Final = "<!-- written by make reliability -->"
_END: Final = "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was tried, what came of it, and whether that is as promised."""

    trial: str
    what: str
    value: str
    limit: str
    holds: bool

    @classmethod
    def at_most(cls, trial: str, what: str, value: float, limit: float, unit: str = "") -> Self:
        shown = f"{_round(value)}{unit}", f"at most {_round(limit)}{unit}"
        return cls(trial, what, *shown, value <= limit)

    @classmethod
    def at_least(cls, trial: str, what: str, value: float, limit: float, unit: str = "") -> Self:
        shown = f"{_round(value)}{unit}", f"at least {_round(limit)}{unit}"
        return cls(trial, what, *shown, value >= limit)

    @classmethod
    def exactly(cls, trial: str, what: str, value: object, expected: object) -> Self:
        return cls(trial, what, str(value), str(expected), value == expected)


def _round(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def write_figures(path: Path, figures: Iterable[Figure]) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = [asdict(figure) for figure in figures]
    write_whole(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [f"| {one.trial} | {one.what} | {_shown(one)} | {one.limit} |" for one in figures]
    head = ["| trial | what | figure | promised |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def _shown(figure: Figure) -> str:
    return figure.value if figure.holds else f"**{figure.value}**"


def put_into_page(page: Path, figures: Sequence[Figure], occasion: str) -> None:
    """Replace the table of a page by another one."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, found, after = rest.partition(_END)
    if not found:
        raise ValueError(f"{page}: has no {_BEGIN} … {_END}")
    write_whole(page, f"{before}{_BEGIN}\n{occasion}\n\n{table(figures)}{_END}{after}")
