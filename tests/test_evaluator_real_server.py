"""The evaluator against `gurmukhi-serve` itself."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import RunningServer

from evaluator.__main__ import main
from gurmukhi.bundle import MANIFEST, MODEL, read_bundle, write_manifest

pytestmark = pytest.mark.slow  # fits five models first


def evaluate(target: str, models: Path, report: Path, *flags: str) -> int:
    given = ["--target", target, "--models", str(models), "--data", "synthetic"]
    return main([*given, "--report", str(report), *flags])


def test_right_server_passes_the_conformance_profile(
    server: RunningServer, models: Path, tmp_path: Path
) -> None:
    flags = ("--profile", "conformance", "--metrics", f"{server.http}/metrics")
    assert evaluate(server.target, models, tmp_path, *flags) == 0
    record = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [model["served"]["differing"] for model in record["models"]] == [0] * 5
    outcomes = {check["check"]: check["outcome"] for check in record["checks"]}
    skipped = {name for name, outcome in outcomes.items() if outcome != "pass"}
    assert skipped == {"replicas", "latency", "baseline"}


def test_server_of_another_model_file_than_the_bundle_has_is_exit_2(
    server: RunningServer, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "models"
    shutil.copytree(models, repository)
    folder = repository / "svm-linear" / "1"
    bundle = read_bundle(folder)
    (folder / MODEL).write_bytes(bundle.read(MODEL) + b"\0")
    (folder / MANIFEST).unlink()
    write_manifest(folder, bundle.manifest)
    report = tmp_path / "report"
    assert evaluate(server.target, repository, report, "--profile", "quick") == 2
    assert "serves another svm-linear:1: its sha256 is" in capsys.readouterr().out
