"""The short forms of `make reliability`, and how its figures are written."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from reliability.concurrency import try_concurrency
from reliability.endurance import try_endurance
from reliability.figures import Figure, put_into_page
from reliability.storage import try_storage


def broken(figures: Iterable[Figure]) -> list[str]:
    """What did not hold; a latency beside an attack is for a quiet machine to judge."""
    return [
        f"{figure.what}: {figure.value}, {figure.limit}"
        for figure in figures
        if not figure.holds and "latency" not in figure.what
    ]


def test_a_figure_that_misses_its_limit_stands_out_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- written by make reliability -->\nold\n<!-- end -->\nafter\n")
    figures = [Figure.at_most("a", "b", 3, 2), Figure.exactly("a", "c", 0, 0)]
    put_into_page(page, figures, "today")
    text = page.read_text()
    assert "| a | b | **3** | at most 2 |\n| a | c | 0 | 0 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert len(broken(figures)) == 1


@pytest.mark.slow
def test_full_disks_and_damaged_models_leave_nothing_half_done(models: Path) -> None:
    assert broken(try_storage(models, 200)) == []


@pytest.mark.slow
def test_each_answer_belongs_to_its_request_while_models_come_and_go(models: Path) -> None:
    assert broken(try_concurrency(models, 8)) == []


@pytest.mark.slow
def test_mixed_traffic_leaks_nothing(models: Path, tmp_path: Path) -> None:
    figures = list(try_endurance(models, 30, tmp_path))
    # Of so short a run the memory is still that of a start, and the rate is the machine's.
    kept = [one for one in figures if "memory" not in one.what and "second" not in one.what]
    assert broken(kept) == []
    assert (tmp_path / "endurance.svg").is_file()
