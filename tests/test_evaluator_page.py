"""The report's page in a real browser, where one is installed: it opens, filters, sorts, prints."""

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

__all__ = ["evaluate", "models", "report"]  # fixtures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

# Runs in the page once its own script has, and leaves what it saw where --dump-dom shows it.
_PROBE = """
<script>
const rows = () => [...document.querySelectorAll("#checks tbody tr")];
const shown = () => rows().filter((row) => !row.hidden).length;
const seen = { all: shown(), filters: !document.querySelector(".filters").hidden };
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
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.body.dataset.seen = JSON.stringify(seen);
</script>
"""


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


@pytest.mark.parametrize("width", [390, 1300])
def test_page_opens_filters_and_sorts_without_a_console_error(page: Path, width: int) -> None:
    probed = page.with_name("probed.html")
    text = page.read_text(encoding="utf-8")
    probed.write_text(text.replace("</body>", f"{_PROBE}</body>"), encoding="utf-8")
    done = browse(probed, f"--window-size={width},900", "--dump-dom")
    assert "CONSOLE" not in done.stderr
    match = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert match is not None
    seen: dict[str, Any] = json.loads(html.unescape(match[1]))
    assert seen["filters"]
    assert 0 < seen["withoutPass"] < seen["all"]
    assert seen["found"] == 1
    assert seen["ascending"] == sorted(seen["ascending"])
    assert seen["descending"] == sorted(seen["ascending"], reverse=True)
    assert seen["sort"] == "descending"
    assert seen["focusable"] > 5
    assert seen["overflow"] <= 0  # nothing is wider than the window


def test_page_prints(page: Path) -> None:
    target = page.with_name("report.pdf")
    browse(page, f"--print-to-pdf={target}")
    assert target.read_bytes().startswith(b"%PDF")
