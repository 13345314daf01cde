"""What Linux's perf sampled, put into kinds."""

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.processes import BenchmarkError

ELSE: Final = "all else"  # what is of no kind


def require_perf() -> None:
    """Raise BenchmarkError where perf is not there."""
    if shutil.which("perf") is None:
        raise BenchmarkError("perf is not there; install linux-perf (apt-get)")


def read_shares(file: Path, kinds: Mapping[str, str]) -> dict[str, float]:
    """The share of each kind in the samples of a perf.data; raises BenchmarkError if it has none.

    A sample is of the first kind whose pattern is found in its "library [.] function".
    """
    command = ["perf", "report", "-i", str(file), "--no-children", "-F", "period,dso,sym"]
    report = subprocess.run(  # noqa: S603 - our own command
        [*command, "--stdio", "-q"], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, int] = defaultdict(int)
    # Periods, not percentages: those of single functions are rounded to nothing.
    for period, place in re.findall(r"^\s*(\d+)\s+(\S.*)$", report, re.MULTILINE):
        matching = (kind for kind, pattern in kinds.items() if re.search(pattern, place))
        found[next(matching, ELSE)] += int(period)
    whole = sum(found.values())
    if not whole:
        raise BenchmarkError(f"{file.name}: perf took no sample")
    return {kind: part / whole for kind, part in found.items()}
