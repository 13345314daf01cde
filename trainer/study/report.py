"""A report of sections, written as Markdown and as one self-contained HTML page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import jinja2

from trainer.study.store import write_whole


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Aligned cells; a cell is text."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture with the words for those who do not see it."""

    name: str  # of the file, without its ending
    caption: str
    svg: bytes

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.name}.svg"

    @property
    def data_uri(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode('ascii')}"


Block = Text | Table | Plot


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Report:
    """A study for its reader; `notice` stands above everything, such as "synthetic data"."""

    title: str
    summary: str
    sections: Sequence[Section]
    notice: str = ""

    @property
    def plots(self) -> list[Plot]:
        """Every picture, in order."""
        blocks = [block for section in self.sections for block in section.blocks]
        return [block for block in blocks if isinstance(block, Plot)]


_TEMPLATE: Final = "study.html"


def write_report(folder: Path, report: Report, record: str) -> None:
    """Write plots, report.md, report.html and, last, report.json (`record`), each whole."""
    for plot in report.plots:
        write_whole(folder / plot.file, plot.svg)
    write_whole(folder / "report.md", to_markdown(report))
    write_whole(folder / "report.html", to_html(report))
    write_whole(folder / "report.json", record)


def to_markdown(report: Report) -> str:
    """The report as Markdown that points to its plots."""
    parts = [f"# {report.title}"]
    if report.notice:
        parts.append(f"> **{report.notice}**")
    parts.append(report.summary)
    for section in report.sections:
        parts.append(f"## {section.title}")
        parts += [_markdown(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Plot):
        return f"![{block.caption}]({block.file})\n\n*{block.caption}*"
    lines = [_cells(block.header), _cells(["---"] * len(block.header))]
    lines += [_cells(row) for row in block.rows]
    table = "\n".join(lines)
    return f"{block.caption}\n\n{table}" if block.caption else table


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_html(report: Report) -> str:
    """The report as one page with plots, style and the font of the glyphs inside."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.tests["a_plot"] = lambda block: isinstance(block, Plot)
    environment.tests["a_table"] = lambda block: isinstance(block, Table)
    font = (files("trainer") / "fonts" / "gurmukhi-digits.ttf").read_bytes()
    return environment.get_template(_TEMPLATE).render(
        report=report, font=base64.b64encode(font).decode("ascii")
    )


def _template(name: str) -> str:
    return (files("trainer") / "templates" / name).read_text(encoding="utf-8")
