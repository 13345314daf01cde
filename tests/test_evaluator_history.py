"""The nights that `--record` keeps: listed, drawn on a page, and a baseline for the next."""

import copy
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from evaluating import Evaluate, evaluate, models, read_report, report
from wrong_servers import DATA, RightServer, serving

from evaluator.__main__ import main
from evaluator.history import append_run
from evaluator.plot import Point, make_plot

__all__ = ["evaluate", "models", "report"]  # fixtures

Shown = pytest.CaptureFixture[str]
Change = Callable[[dict[str, Any]], None]


def draw(history: Path, *flags: str) -> str:
    """The page of a history."""
    page = history.with_name("history.html")
    assert main(["history", str(history), "--html", str(page), *flags]) == 0
    return page.read_text(encoding="utf-8")


@pytest.fixture
def history(evaluate: Evaluate, report: Path, tmp_path: Path) -> Path:
    """Six nights made of one: pass, pass, wrong labels, unreached, pass, pass on other images."""
    with serving(RightServer()) as target:
        assert evaluate(target, "--only", "labels") == 0
    night = read_report(report)
    path = tmp_path / "history.sqlite"
    for number, change in enumerate((_keep, _keep, _differ, _lose, _keep, _move)):
        record = copy.deepcopy(night)
        started = datetime.fromisoformat("2026-03-01T02:17:00+00:00") + timedelta(days=number)
        record["started"] = started.isoformat()
        change(record)
        append_run(path, record)
    return path


def _keep(record: dict[str, Any]) -> None:
    """A night like the one before."""


def _differ(record: dict[str, Any]) -> None:
    record |= {"verdict": "served differs from offline", "exit_code": 2, "sentence": "3 <labels>"}
    record["models"][0]["served"].update(differing=3, correct=34, accuracy=34 / 40)
    (labels,) = [one for one in record["checks"] if one["check"] == "labels"]
    labels["fault"] = "parity"


def _lose(record: dict[str, Any]) -> None:
    record |= {"verdict": "target unreachable or failing", "exit_code": 3}
    record["models"][0] |= {"served": None, "latency_seconds": {}}


def _move(record: dict[str, Any]) -> None:
    record["data"] |= {"sha256": "1" * 64, "source": "real", "synthetic": False}


def test_history_lists_the_nights_and_serves_as_baseline(
    evaluate: Evaluate, tmp_path: Path, capsys: Shown
) -> None:
    history = tmp_path / "nights" / "history.sqlite"
    with serving(RightServer()) as target:
        for _ in range(2):
            assert evaluate(target, "--only", "labels", "--record", str(history)) == 0
        assert evaluate(target, "--only", "baseline", "--baseline", str(history)) == 0
    assert "37 of 40 answers are right" not in capsys.readouterr().out
    assert evaluate("127.0.0.1:1", "--record", str(history)) == 3
    capsys.readouterr()
    assert main(["history", str(history)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("37/40 0.9250 (synthetic)") == 2
    assert "target unreachable or failing" in shown
    assert "▁▁·" in shown


def test_history_that_is_missing_or_damaged_is_exit_4(tmp_path: Path, capsys: Shown) -> None:
    assert main(["history", str(tmp_path / "none")]) == 4
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert main(["history", str(damaged)]) == 4
    assert main(["--baseline", str(damaged), "--data", DATA, "--models", str(tmp_path)]) == 4
    assert "not a usable history" in capsys.readouterr().err


def test_page_of_a_history_draws_every_night(history: Path, capsys: Shown) -> None:
    page = draw(history)
    assert "page: " in capsys.readouterr().out
    assert "<h1>✓ last night: pass</h1>" in page
    assert "4 of the last 6 runs passed" in page
    assert "SYNTHETIC DIGITS in some runs" in page
    plots = re.findall(r'<svg class="course".*?</svg>', page, re.DOTALL)
    assert len(plots) == 4  # accuracy, labels that differ, p50, p99
    for plot in plots:
        assert plot.count("<circle") == 5
        assert plot.count("hollow") == 4
        assert plot.count('class="failed') == 1
        assert plot.count("×") == 1  # the night without an answer
        assert plot.count('class="line"') == 2  # neither across the gap nor to other images
    assert "2026-03-03 02:17: 85.00 %, served differs from offline" in plots[0]
    assert "axis 0 to 3" in page
    assert "3 &lt;labels&gt;" in page
    assert not re.search(r"(src|href)=|@import|url\(|<script", page)  # one file, no network


def test_page_begins_with_the_last_night(history: Path, report: Path) -> None:
    record = read_report(report) | {"started": "2026-03-09T02:17:00+00:00"}
    _differ(record)
    append_run(history, record)
    assert "<h1>✗ last night: served differs from offline</h1>" in draw(history)
    assert "2 of the last 3 runs passed" not in draw(history)
    assert "1 of the last 2 runs passed" in draw(history, "--last", "2")


def test_page_holds_the_models_that_are_wanted(history: Path) -> None:
    assert "<h3>mean:1</h3>" in draw(history, "--model", "mean")
    assert "<h3>mean:1</h3>" not in draw(history, "--model", "median")


def test_plot_spans_its_values_and_draws_no_noise_as_a_cliff() -> None:
    def show(value: float | None) -> str:
        return str(value)

    rising = make_plot("y", [Point(1.0, ""), Point(3.0, "")], 1.0, zero=False, show=show)
    assert (rising.low, rising.high, rising.last) == ("1.0", "3.0", "3.0")
    assert [point.y for point in rising.points] == [68, 8]
    flat = make_plot("y", [Point(2.0, "")] * 3, 1.0, zero=False, show=show)
    assert (flat.low, flat.high) == ("1.5", "2.5")
    assert {point.y for point in flat.points} == {38}
    empty = make_plot("y", [Point(None, "")], 1.0, zero=True, show=show)
    assert (empty.points, len(empty.gaps), empty.last) == ((), 1, "None")


def test_page_that_cannot_be_written_is_exit_4_and_named(history: Path, capsys: Shown) -> None:
    assert main(["history", str(history), "--html", str(history / "page.html")]) == 4
    assert str(history) in capsys.readouterr().err
