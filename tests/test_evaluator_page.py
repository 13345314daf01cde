"""The pages in a real browser, where one is installed: they open, filter, sort, fit and print."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from evaluating import Evaluate, evaluate, models, report
from wrong_servers import RightServer, serving

from evaluator.__main__ import main
from evaluator.history import append_run

__all__ = ["evaluate", "models", "report"]  # fixtures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

# These run in the page once its own script has, and note what they saw.
_USE = """
const rows = () => [...document.querySelectorAll("#checks tbody tr")];
const shown = () => rows().filter((row) => !row.hidden).length;
seen.all = shown();
seen.filters = !document.querySelector(".filters").hidden;
const box = document.querySelector('.filters input[value="pass"]');
box.click();
seen.withoutPass = shown();
box.click();
const search = document.querySelector(".filters input[type=search]");
search.value = "LABELS are the bundle";
search.dispatchEvent(new Event("input", { bubbles: true }));
seen.found = shown();
search.value = "";
search.dispatchEvent(new Event("input", { bubbles: true }));
const times = () => rows().map((row) => Number(row.cells[4].dataset.value));
const button = document.querySelectorAll("#checks th button")[4];
button.click();
seen.ascending = times();
button.click();
seen.descending = times();
seen.sort = button.parentElement.getAttribute("aria-sort");
seen.focusable = document.querySelectorAll("button, summary, input, [tabindex='0']").length;
"""
_LOOK = r"""
dispatchEvent(new Event("beforeprint"));
seen.closed = document.querySelectorAll("details:not([open])").length;
seen.jumps = document.querySelectorAll("[tabindex]:not([tabindex='0'])").length;
const light = ([red, green, blue]) => [red, green, blue]
  .map((one) => one / 255)
  .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
  .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
const contrast = (element, ground) => {
  const levels = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor]
    .map((colour) => light(channels(colour)))
    .sort((one, other) => other - one);
  return (levels[0] + 0.05) / (levels[1] + 0.05);
};
const header = document.querySelector(".verdict");
seen.ground = light(channels(getComputedStyle(document.body).backgroundColor));
seen.contrast = Math.min(
  contrast(document.body, document.body),
  ...[...header.querySelectorAll("*")].map((one) => contrast(one, header)),
  ...[...document.querySelectorAll("main .soft, main .bad, main .good, main dt, summary")].map(
    (one) => contrast(one, one.closest(".card") ?? document.body)),
);
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
"""
# Source: WCAG 2.2, success criterion 1.4.3.
_LEAST_CONTRAST = 4.5


def browse(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    profile = page.parent / "profile"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={profile}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture
def page(evaluate: Evaluate, report: Path) -> Path:
    with serving(RightServer()) as target:
        assert evaluate(target, "--profile", "nightly") == 0
    return report / "report.html"


def probe(page: Path, script: str, *flags: str) -> dict[str, Any]:
    """What a script has seen in a page, which wrote nothing to the console."""
    probed = page.with_name("probed.html")
    text = page.read_text(encoding="utf-8")
    script = f"const seen = {{}};{script}document.body.dataset.seen = JSON.stringify(seen);"
    text = text.replace("</body>", f"<script>{script}</script></body>")
    probed.write_text(text, encoding="utf-8")
    done = browse(probed, *flags, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    match = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert match is not None
    seen: dict[str, Any] = json.loads(html.unescape(match[1]))
    return seen


@pytest.mark.parametrize("width", [390, 1300])
def test_page_opens_filters_and_sorts_without_a_console_error(page: Path, width: int) -> None:
    seen = probe(page, _USE + _LOOK, f"--window-size={width},900")
    assert seen["filters"]
    assert 0 < seen["withoutPass"] < seen["all"]
    assert seen["found"] == 1
    assert seen["ascending"] == sorted(seen["ascending"])
    assert seen["descending"] == sorted(seen["ascending"], reverse=True)
    assert seen["sort"] == "descending"
    assert seen["focusable"] > 5
    assert seen["jumps"] == 0  # the keyboard goes through the page in its order
    assert seen["closed"] == 0  # nothing stays folded on paper
    assert seen["overflow"] <= 0  # nothing is wider than the window


@pytest.mark.parametrize(("scheme", "is_dark"), [(0, True), (1, False)])
def test_pages_are_legible_in_light_and_dark(page: Path, scheme: int, is_dark: bool) -> None:
    for shown in (page, history_of(page)):
        seen = probe(shown, _LOOK, f"--blink-settings=preferredColorScheme={scheme}")
        assert (seen["ground"] < 0.2) == is_dark
        assert seen["contrast"] >= _LEAST_CONTRAST


@pytest.mark.parametrize("width", [390, 1300])
def test_page_of_a_history_fits_the_window(page: Path, width: int) -> None:
    assert probe(history_of(page), _LOOK, f"--window-size={width},900")["overflow"] <= 0


def history_of(page: Path) -> Path:
    """The page of a history of forty nights, each the one that a report is of."""
    database, shown = page.with_name("history.sqlite"), page.with_name("history.html")
    record = json.loads(page.with_name("report.json").read_text(encoding="utf-8"))
    for number in range(40):
        append_run(database, record | {"exit_code": 3 if number % 7 == 6 else 0})
    assert main(["history", str(database), "--last", "40", "--html", str(shown)]) == 0
    return shown


def test_page_prints(page: Path) -> None:
    target = page.with_name("report.pdf")
    browse(page, f"--print-to-pdf={target}")
    assert target.read_bytes().startswith(b"%PDF")
