"""Fixtures that run `gurmukhi-evaluate` on a small repository."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wrong_servers import DATA, write_bundle

from evaluator.__main__ import main

Evaluate = Callable[..., int]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    repository = tmp_path / "models"
    write_bundle(repository)
    return repository


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report"


@pytest.fixture
def evaluate(models: Path, report: Path) -> Evaluate:
    def run(target: str, *flags: str, data: str = DATA) -> int:
        given = ["--target", target, "--models", str(models), "--data", data]
        return main([*given, "--report", str(report), "--profile", "quick", *flags])

    return run


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def read_report(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return record
