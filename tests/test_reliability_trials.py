"""The short forms of `make reliability`, and how its figures are written."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from conftest import run_command

from reliability.__main__ import _to_its_end
from reliability.concurrency import try_concurrency
from reliability.endurance import Told, try_endurance
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


def test_a_trial_that_breaks_off_keeps_its_figures_and_is_one_that_failed() -> None:
    def trial() -> Iterator[Figure]:
        yield Figure.exactly("a", "b", 0, 0)
        raise TimeoutError("an end: not within 60 s")

    kept, broke_off = _to_its_end("a", trial)
    assert kept.holds
    assert not broke_off.holds
    assert broke_off.value == "TimeoutError: an end: not within 60 s"


@pytest.mark.parametrize("part", [("--only", "storage"), ("--scale", "0.1")])
def test_the_page_is_of_a_whole_run_alone(part: tuple[str, str]) -> None:
    done = run_command("reliability", "--page", *part)
    assert done.returncode == 64
    assert "whole run" in done.stderr


def test_a_trial_that_there_is_not_is_a_wrong_flag(models: Path) -> None:
    done = run_command("reliability", "--models", str(models), "--only", "floods")
    assert done.returncode == 64
    assert "there are storage, readers" in done.stderr


def test_an_endurance_that_told_wrong_or_lacked_a_kind_of_traffic_fails() -> None:
    told = Told(counts=Counter({"calls": 100}), wrong=Counter({"/a/B": 1}))
    assert [figure.what for figure in told.figures(10) if not figure.holds] == [
        "wrong answers or statuses of 100",
        *("messages of streams", "bad calls", "passed deadlines", "reloads"),
    ]


@pytest.mark.slow
def test_full_disks_and_damaged_models_leave_nothing_half_done(models: Path) -> None:
    assert broken(try_storage(models, 200)) == []


@pytest.mark.slow
@pytest.mark.usefixtures("front")
def test_each_answer_belongs_to_its_request_while_models_come_and_go(models: Path) -> None:
    assert broken(try_concurrency(models, 8)) == []


@pytest.mark.slow
@pytest.mark.usefixtures("front")
def test_mixed_traffic_leaks_nothing(models: Path, tmp_path: Path) -> None:
    figures = list(try_endurance(models, 30, tmp_path))
    # Of so short a run the memory is still that of a start, and the rate is the machine's.
    kept = [one for one in figures if "memory" not in one.what and one.what != "calls a second"]
    assert broken(kept) == []
    assert (tmp_path / "endurance.svg").is_file()
