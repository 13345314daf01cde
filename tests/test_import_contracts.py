"""The rooms do not see one another, and a sideways import is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

ROOMS = ("gurmukhi", "trainer", "server", "evaluator")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code, to plant imports in."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("room", "line", "contract"),
    [
        ("evaluator", "import server", "The rooms do not see one another"),
        ("gurmukhi", "import trainer", "The shared words import no room"),
        ("server", "import torch", "Only the trainer sees the training libraries"),
        ("evaluator", "import onnxruntime", "Only the server and the trainer's parity gate"),
    ],
)
def test_a_sideways_import_is_noticed(copy: Path, room: str, line: str, contract: str) -> None:
    (copy / room / "sideways.py").write_text(f"{line}\n")
    done = lint_imports(copy)
    assert done.returncode != 0
    assert "BROKEN" in done.stdout
    assert contract in done.stdout.partition("Broken contracts")[2]
