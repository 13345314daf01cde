"""Reports are self-contained, escape what they show, and have plots with drawn glyphs."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from gurmukhi.labels import GLYPHS
from trainer import plots
from trainer.study import curves
from trainer.study.curves import Curve
from trainer.study.report import (
    Block,
    Plot,
    Report,
    Section,
    Table,
    Text,
    to_html,
    to_markdown,
    write_report,
)

MATRIX = np.diag(np.arange(10, dtype=np.int64)) + np.eye(10, k=1, dtype=np.int64)


def report(notice: str = "") -> Report:
    plot = Plot(
        "curve", "A <curve>.", plots.to_svg(plots.confusion_grid([("m", MATRIX)], glyphs=True))
    )
    blocks: list[Block] = [Text("1 < 2"), Table(["a", "b|c"], [["1", "x|y"]], "A table."), plot]
    return Report("A & B", "Summary.", [Section("First", blocks)], notice=notice)


def test_the_page_needs_nothing_else() -> None:
    page = to_html(report())
    addresses = re.findall(r'(?:src|href)="([^"]+)"|url\(([^)]+)\)', page)
    assert addresses
    assert all((a or b).startswith("data:") for a, b in addresses)
    assert "<script" not in page


def test_the_page_escapes_what_it_shows() -> None:
    page = to_html(report())
    assert "A &amp; B" in page
    assert "1 &lt; 2" in page
    assert 'alt="A &lt;curve&gt;."' in page


def test_the_notice_stands_above_everything() -> None:
    page, text = to_html(report("SYNTHETIC digits")), to_markdown(report("SYNTHETIC digits"))
    assert page.index("SYNTHETIC") < page.index("Summary.")
    assert text.index("SYNTHETIC") < text.index("Summary.")


def test_markdown_tables_keep_their_columns() -> None:
    assert r"| 1 | x\|y |" in to_markdown(report())


def test_every_plot_that_the_markdown_names_is_written(tmp_path: Path) -> None:
    write_report(tmp_path, report(), "{}\n")
    named = re.findall(r"!\[.*\]\((.+)\)", (tmp_path / "report.md").read_text("utf-8"))
    assert named == ["curve.svg"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "curve.svg", "report.md", "report.html", "report.json",
    }  # fmt: skip


def test_our_font_has_the_ten_glyphs_and_its_licence() -> None:
    font = FT2Font(plots.font_path())
    assert {ord(glyph) for glyph in GLYPHS} <= font.get_charmap().keys()
    # A modified font may not go by the name of its original, and must carry its licence.
    assert font.family_name == "Gurmukhi Digits"
    assert "SIL OPEN FONT LICENSE" in Path(plots.font_path()).with_name("OFL.txt").read_text()


@pytest.mark.filterwarnings("error:Glyph:UserWarning")  # matplotlib's word for a box
def test_glyphs_are_drawn_and_not_boxes() -> None:
    images = np.full((10, 32, 32), 255, np.uint8)
    plots.to_svg(plots.sample_grid(images, GLYPHS, columns=5))
    plots.to_svg(plots.sample_grid(images[:1], ["੧   ੭"], columns=1))
    plots.to_svg(plots.confusion_grid([("m", MATRIX)] * 2, glyphs=True))


def test_the_same_figure_is_the_same_file() -> None:
    first, second = (
        plots.to_svg(plots.confusion_grid([("m", MATRIX)], glyphs=False)) for _ in range(2)
    )
    assert first == second


def test_neighbouring_curves_differ_in_line_and_marker() -> None:
    shown = [Curve(str(n), [1, 2], [n + 1, n + 2]) for n in range(8)]
    figure = curves.loss_curves([("all", shown)])
    lines = figure.axes[0].get_lines()
    assert len(lines) == 8
    for a, b in pairwise(lines):
        assert a.get_marker() != b.get_marker()
        assert a.get_linestyle() != b.get_linestyle() or a.get_color() != b.get_color()


def all_curves() -> list[Figure]:
    return [
        curves.accuracy_counts([168, 170, 170], 178, 170),
        curves.accuracy_counts([900, 1500], 2000, None),
        curves.seed_losses([[2.0, 1.0], [2.1, 0.9]], None),
        curves.published_and_ours(["a", "b"], [0.9, 0.8], [[0.91], [0.8, 0.81]], 0.008),
        curves.gamma_curve([0.1, 2.0], [0.9, 0.2], [1.0, 1400.0], marked=[(2.0, "γ = 2")]),
        curves.accuracy_against(
            [Curve("ours", [0.1, 0.5], [0.9, 0.1])],
            xlabel="rate",
            log_x=True,
            ticks=[(0.1, "0.1"), (0.5, "0.5")],
        ),
    ]


def test_every_kind_of_curve_is_drawn() -> None:
    for figure in all_curves():
        assert plots.to_svg(figure).startswith(b"<?xml")


def test_counts_over_a_wide_range_have_few_ticks() -> None:
    figure = curves.accuracy_counts([900, 1500], 2000, None)
    assert len(figure.axes[0].get_xticks()) <= 11
