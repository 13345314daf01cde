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
