"""The evaluator against `gurmukhi-serve` itself."""

import json
import os
import shutil
from pathlib import Path

import pytest
from bundles import edit_json, reseal
from conftest import RunningServer, serving

from evaluator.__main__ import main
from evaluator.run import CHECKS
from gurmukhi.bundle import read_bundle, write_manifest
from gurmukhi.manifest import EVALUATION, MANIFEST, MODEL

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


@pytest.fixture
def ten(models: Path, tmp_path: Path) -> Path:
    """Ten versions: each of the five models once more as version 2."""
    repository = tmp_path / "ten"
    shutil.copytree(models, repository)
    for folder in sorted(repository.glob("*/1")):
        second = folder.with_name("2")
        shutil.copytree(folder, second)
        edit_json(second / MANIFEST, lambda manifest: manifest.update(version=2))
        edit_json(second / EVALUATION, lambda evaluation: evaluation.update(version=2))
        reseal(second)
    return repository


@pytest.mark.usefixtures("front")
def test_ten_models_on_two_replicas_pass_every_check_within_a_minute(
    ten: Path, tmp_path: Path
) -> None:
    report, flags = tmp_path / "report", ("--latency-budget", "p99=5s", "--profile", "conformance")
    with serving(ten) as one, serving(ten) as two:
        metrics = ("--metrics", f"{one.http}/metrics")
        assert evaluate(one.target, ten, report, "--only", "labels") == 0
        baseline = ("--baseline", str(shutil.copy(report / "report.json", tmp_path)))
        both = f"{one.target},{two.target}"
        assert evaluate(both, ten, report, *flags, *metrics, *baseline) == 0
    record = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert len(record["models"]) == 10
    assert {check["check"] for check in record["checks"]} == {*CHECKS, "scores"}
    assert {check["outcome"] for check in record["checks"]} == {"pass"}
    # On two cores of our own; others who compute on them take their share.
    assert record["seconds"] < 60 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


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
