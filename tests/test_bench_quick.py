"""What a request costs beside a bare echo of the same run: a slow regression is caught."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import run_command

# The server's CPU for a request, in requests of the echo. At rest it is 1.4 to 1.8; a machine that
# is busy with other things raises it to 2.1, since the larger program loses more from its caches.
BOUND = 2.4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed"),
]


def test_a_request_costs_little_more_than_an_echo(models: Path, tmp_path: Path) -> None:
    result = tmp_path / "quick.json"
    done = run_command(
        *("benchmarks.quick", "--only", "requests", "--rounds", "7"),
        *("--models", str(models), "--json", str(result)),
    )
    assert done.returncode == 0, done.stderr
    ratios = json.loads(result.read_text())["ratios"]
    costs = {name: one["value"] for name, one in ratios.items() if name.endswith("CPU to echo")}
    assert len(costs) == 6
    assert {name: cost for name, cost in costs.items() if cost > BOUND} == {}
