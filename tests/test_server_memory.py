"""A server keeps what serving needs, not what loading took."""

import re
from pathlib import Path

from conftest import serving


def test_memory_that_loading_took_is_given_back(models: Path) -> None:
    with serving(models) as running:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
    figures = dict(re.findall(r"(Vm\w+):\s+(\d+) kB", status))
    # Without it the two are equal: the C library holds on to all that it ever had.
    assert int(figures["VmRSS"]) < 0.93 * int(figures["VmHWM"])


def test_program_text_that_only_the_start_ran_is_not_resident(models: Path) -> None:
    with serving(models) as running:
        smaps = Path(f"/proc/{running.process.pid}/smaps").read_text()
    entries = re.findall(r"r-xp .*\.so\S*\n(?:\w+: .*\n)*?Rss: +(\d+) kB", smaps)
    assert len(entries) > 10
    # onnxruntime's alone is 16 MB of it while the server starts.
    assert sum(map(int, entries)) < 15_000
