"""All outputs of a run agree, whatever its verdict; pushes and comparisons."""

import json
import re
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluating import Evaluate, _interruptible, evaluate, models, read_report, report
from numpy.typing import NDArray
from wrong_servers import DATA, Answers, RightServer, serving, the_split, write_bundle

from evaluator.__main__ import main
from evaluator.html import render_html
from evaluator.junit import render_junit
from evaluator.markdown import render_markdown
from evaluator.outputs import to_json
from evaluator.push import render_metrics, write_termination_log
from evaluator.results import Fault, Outcome, Result
from evaluator.table import show_record
from evaluator.verdict import MEANINGS, conclude

__all__ = ["_interruptible", "evaluate", "models", "report"]  # fixtures

Shown = pytest.CaptureFixture[str]

PASSED = Result.passed("labels", "mean:1", "all labels are the bundle's")
SKIPPED = Result.skipped("replicas", "here:1", "there is one address")
CASES: dict[str, tuple[list[Result], bool, int]] = {
    "pass": ([PASSED, SKIPPED], False, 0),
    "quality": ([PASSED, Result.failed("x", "m", Fault.QUALITY, "fewer")], False, 1),
    "parity": ([PASSED, Result.failed("x", "m", Fault.PARITY, "differs")], False, 2),
    "infrastructure": ([PASSED, Result.error("x", "m", "gone")], False, 3),
    "input": ([PASSED, Result.failed("x", "m", Fault.INPUT, "damaged")], False, 4),
    "latency": ([PASSED, Result.failed("x", "m", Fault.LATENCY, "slow")], False, 5),
    "interrupted": ([PASSED], True, 130),
    "nothing checked": ([SKIPPED], False, 4),
    "wrong and lost": (
        [Result.error("x", "m", "gone"), Result.failed("x", "m", Fault.PARITY, "differs")],
        False,
        2,
    ),
    "lost and worse": (
        [Result.failed("x", "m", Fault.QUALITY, "fewer"), Result.error("x", "m", "gone")],
        False,
        3,
    ),
    "all at once": ([Result.failed("x", "m", fault, fault) for fault in Fault], False, 4),
    "not written": ([PASSED, Result.error("x", "m", "full", Fault.OUTPUT)], False, 4),
    "wrong and not written": (
        [Result.error("x", "m", "full", Fault.OUTPUT), Result.failed("x", "m", Fault.PARITY, "no")],
        False,
        2,
    ),
    "worse and slow": (
        [
            Result.failed("x", "m", Fault.LATENCY, "slow"),
            Result.failed("x", "m", Fault.QUALITY, "fewer"),
        ],
        False,
        1,
    ),
}


@pytest.fixture
def base(evaluate: Evaluate, report: Path) -> dict[str, Any]:
    """The record of a real run that passed."""
    with serving(RightServer()) as target:
        assert evaluate(target, "--only", "labels") == 0
    return read_report(report)


@pytest.mark.parametrize("case", CASES)
def test_every_output_agrees_with_the_verdict(case: str, base: dict[str, Any]) -> None:
    results, interrupted, exit_code = CASES[case]
    verdict = conclude(results, interrupted=interrupted)
    assert verdict.exit_code == exit_code
    checks = json.loads(json.dumps([vars_of(result) for result in results]))
    record = base | {
        "verdict": verdict.name,
        "exit_code": exit_code,
        "sentence": verdict.sentence,
        "checks": checks,
    }
    assert json.loads(to_json(record))["exit_code"] == exit_code

    page = render_html(record, the_split().images)
    assert f"<h1>{'✓' if exit_code == 0 else '✗'} {verdict.name}</h1>" in page
    assert f"exit code {exit_code} " in page
    assert MEANINGS[exit_code] in page
    assert ("✗ " in states_of(page)) == any(result.fault for result in results)
    assert f"verdict: {verdict.name} (exit code {exit_code})" in show_record(record, colour=False)
    assert render_markdown(record).startswith(f"## {'✅' if exit_code == 0 else '❌'}")

    junit = ET.fromstring(render_junit(record))  # noqa: S314 - our own
    bad = int(junit.get("failures", "")) + int(junit.get("errors", ""))
    assert (bad > 0) == (exit_code != 0)
    assert len(junit.findall(".//failure")) == int(junit.get("failures", ""))
    in_kind = {1: "failure", 2: "failure", 5: "failure", 3: "error", 4: "error", 130: "error"}
    if exit_code:
        assert junit.find(f".//{in_kind[exit_code]}") is not None

    metrics = render_metrics(record)
    assert f"gurmukhi_evaluation_exit_code {exit_code}\n" in metrics
    assert ("last_success_timestamp" in metrics) == (exit_code == 0)


def states_of(page: str) -> str:
    """How each check went, in the page's head."""
    return page.partition('<ul class="states"')[2].partition("</ul>")[0]


def vars_of(result: Result) -> dict[str, Any]:
    return {name: getattr(result, name) for name in Result.__slots__}


def test_outcomes_of_every_kind_are_counted_by_junit_as_designed() -> None:
    kinds = {Fault.PARITY: "failure", Fault.QUALITY: "failure", Fault.LATENCY: "failure"}
    for fault in Fault:
        result = Result.failed("x", "m", fault, "why")
        record = {"checks": [vars_of(result)], "seconds": 1.0, "exit_code": 9}
        junit = ET.fromstring(render_junit(record))  # noqa: S314 - our own
        assert junit.find(f".//{kinds.get(fault, 'error')}") is not None, fault
    assert {outcome.value for outcome in Outcome} == {
        "pass", "fail", "error", "not offered", "skipped",
    }  # fmt: skip


def test_report_page_needs_nothing_else(base: dict[str, Any], report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=[\"'](?!#)", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "confusion matrix of mean:1" in page
    assert all(glyph in page for glyph in "੦੧੨੩੪੫੬੭੮੯")


def test_colour_is_for_terminals_alone(
    base: dict[str, Any], evaluate: Evaluate, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[1;32mverdict: pass" in show_record(base, colour=True)
    for is_terminal in (True, False):
        monkeypatch.setattr("sys.stdout.isatty", lambda shown=is_terminal: shown)
        evaluate("127.0.0.1:1")
        assert ("\x1b[1;31mverdict" in capsys.readouterr().out) == is_terminal


def test_page_does_not_claim_what_was_not_looked_at(base: dict[str, Any]) -> None:
    base["checks"] = [vars_of(Result.passed("reach", "here:1", "lives"))]
    page = render_html(base, the_split().images)
    assert MEANINGS[0] not in page
    assert "no answer was held against an offline one" in page


def test_names_from_elsewhere_are_escaped(base: dict[str, Any]) -> None:
    base["target"] = "<script>alert(1)</script>"
    assert "<script>alert" not in render_html(base, the_split().images)
    assert "<script>" not in render_markdown(base).replace("\\<", "")


def test_predictions_hold_a_line_for_each_image(base: dict[str, Any], report: Path) -> None:
    text = (report / "predictions.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["image"] for line in lines] == list(the_split().names)
    assert all(line["served"] == line["offline"] for line in lines)


def test_confusion_sums_to_the_images_on_both_sides(base: dict[str, Any], report: Path) -> None:
    rows = (report / "confusion.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "model,version,side,true,predicted,count"
    assert len(rows) == 1 + 200
    for side in ("offline", "served"):
        counts = [int(row.rpartition(",")[2]) for row in rows if f",{side}," in row]
        assert sum(counts) == len(the_split())


def test_statistics_are_in_the_report(base: dict[str, Any]) -> None:
    figures = base["models"][0]["served"]["statistics"]
    low, high = figures["wilson_95"]
    assert low < base["models"][0]["served"]["accuracy"] < high
    assert figures["near"]["count"] + figures["far"]["count"] == len(the_split())
    assert len(figures["class_wise_accuracy"]) == 10


@contextmanager
def gateway(status: int, taken: list[tuple[str, str]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            taken.append((self.path, self.rfile.read(length).decode()))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 500])
def test_run_is_pushed_and_a_broken_gateway_changes_no_verdict(
    status: int, evaluate: Evaluate, capsys: Shown
) -> None:
    taken: list[tuple[str, str]] = []
    with serving(RightServer()) as target, gateway(status, taken) as url:
        assert evaluate(target, "--only", "labels", "--pushgateway", url) == 0
    ((path, text),) = taken
    assert path == "/metrics/job/gurmukhi_evaluation"
    assert 'gurmukhi_evaluation_correct{model="mean",version="1",source="synthetic"} 37\n' in text
    assert ("not told of this run" in capsys.readouterr().err) == (status == 500)


def test_termination_log_gets_the_verdict_where_there_is_one(
    base: dict[str, Any], tmp_path: Path
) -> None:
    log = tmp_path / "termination-log"
    write_termination_log(base, log)
    assert not log.exists()
    log.touch()
    write_termination_log(base, log)
    assert log.read_text(encoding="utf-8").startswith("pass (exit code 0): ")


class Worse(RightServer):
    """Reads half of the images as 0."""

    def answer(self, images: NDArray[np.uint8]) -> Answers:
        digits, scores, probabilities = super().answer(images)
        return digits * (images[:, 5, 5] == 0), scores, probabilities


class Slower(RightServer):
    def before(self, method: str, context: Any) -> None:
        time.sleep(0.04)


@pytest.mark.parametrize(
    ("other", "exit_code", "advice"),
    [
        (RightServer, 0, "promote"),
        (Slower, 1, "hold"),
        (Worse, 2, "roll back"),
        (None, 3, "failing"),
    ],
)
def test_comparison_of_servers_says_what_to_do(
    other: type[RightServer] | None,
    exit_code: int,
    advice: str,
    models: Path,
    report: Path,
    capsys: Shown,
) -> None:
    flags = ["--models", str(models), "--data", DATA, "--report", str(report)]
    with serving(RightServer()) as a:
        if other is None:
            assert main(["compare", a, "127.0.0.1:1", *flags]) == exit_code
        else:
            with serving(other()) as b:
                assert main(["compare", a, b, *flags]) == exit_code
    assert f"verdict: {advice} (exit code {exit_code})" in capsys.readouterr().out
    record = json.loads((report / "compare.json").read_text(encoding="utf-8"))
    assert record["verdict"] == advice


def test_comparison_of_versions_asks_one_server(models: Path, report: Path, capsys: Shown) -> None:
    write_bundle(models, "mean", 2)
    flags = ["--models", str(models), "--data", DATA, "--report", str(report)]
    with serving(RightServer((("mean", "1"), ("mean", "2")))) as target:
        assert main(["compare", "mean:1", "mean:2", "--target", target, *flags]) == 0
    assert "mean:1 → mean:2" in capsys.readouterr().out
    assert main(["compare", "mean:1", "median:2", *flags]) == 4
