"""The Gurmukhi study reproduces the published figures, and shows no synthetic digit as real."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import heed_interrupts

from gurmukhi.command import Parser, run
from gurmukhi.dataset import make_split
from gurmukhi.sources import find_source
from trainer.flags import add_study_flags
from trainer.study import command
from trainer.study.gurmukhi import GAMMAS, published_mlp, run_gurmukhi
from trainer.study.gurmukhi_result import GurmukhiStudy
from trainer.study.kernel_values import measure_kernel, scale_gamma
from trainer.study.published import (
    GURMUKHI_MLP_CLASS_WISE,
    GURMUKHI_MLP_CORRECT,
    GURMUKHI_SVMS,
)
from trainer.study.settings import Settings
from trainer.svm import SVMConfig, fit_svm, scale_pixels

_HARNESS = """
import sys
from gurmukhi.command import Parser, run
from trainer.flags import add_study_flags
from trainer.study import command
if __name__ == "__main__":
    parser = Parser("gurmukhi-train study", "test")
    add_study_flags(parser)
    sys.exit(run(parser, command.command, sys.argv[1:]))
"""


def study_main(*words: str) -> int:
    parser = Parser("gurmukhi-train study", "test")
    add_study_flags(parser)
    return run(parser, command.command, words)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> tuple[GurmukhiStudy, Path]:
    """A study of few synthetic digits, in processes as always."""
    folder = tmp_path_factory.mktemp("studies") / "gurmukhi"
    settings = Settings(folder=folder, seeds=(0, 1), jobs=1, quiet=True)
    return run_gurmukhi(settings, find_source("synthetic:60"), gammas=(0.001, 2.0)), folder


def test_synthetic_digits_are_never_shown_as_real(synthetic: tuple[GurmukhiStudy, Path]) -> None:
    _, folder = synthetic
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text("utf-8")
        assert "SYNTHETIC digits, not on the published data set" in text
        assert "0.955" not in text
        assert "0.97191011" not in text
    record = json.loads((folder / "report.json").read_text("utf-8"))
    assert record["source"] == "synthetic"
    assert record["compared_with_published"] is False
    assert record["holds"] is None
    assert "published" not in json.dumps(record["mlp"]) + json.dumps(record["svms"])


def test_a_study_has_every_model(synthetic: tuple[GurmukhiStudy, Path]) -> None:
    study, folder = synthetic
    record = json.loads((folder / "report.json").read_text("utf-8"))
    assert record["svms"].keys() == GURMUKHI_SVMS.keys()
    assert [seed["seed"] for seed in record["mlp"]["seeds"]] == [0, 1]
    assert [point["gamma"] for point in record["rbf"]["curve"]] == [0.001, 2.0]
    assert study.failures == []  # nothing is compared
    for plot in ("confusion", "mlp-losses", "mlp-seeds", "rbf-gamma", "samples", "single"):
        assert (folder / f"{plot}.svg").stat().st_size > 0


def test_a_finished_study_starts_no_process_again(
    synthetic: tuple[GurmukhiStudy, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise AssertionError("every row was kept")

    monkeypatch.setattr("trainer.study.runs.run_tasks", fail)
    study, folder = synthetic
    settings = Settings(folder=folder, seeds=(1,), jobs=1, quiet=True)
    again = run_gurmukhi(settings, find_source("synthetic:60"), gammas=(2.0,))
    assert again.correct == study.correct[1:]


def test_the_published_figures_agree_with_one_another() -> None:
    for published in GURMUKHI_SVMS.values():
        wrong = round((1 - published.accuracy) * 178)
        # Every wrong answer is wrong for two classes.
        assert round((10 - sum(published.class_wise)) * 178) == 2 * wrong
    assert round((10 - sum(GURMUKHI_MLP_CLASS_WISE)) * 178) == 2 * (178 - GURMUKHI_MLP_CORRECT)


def test_the_curve_holds_the_published_gamma() -> None:
    assert 2.0 in GAMMAS
    assert published_mlp().hidden == (256, 64)


def test_kernel_values_are_those_of_the_distances() -> None:
    images = np.full((3, 32, 32), 255, np.uint8)
    images[1, 0, 0] = 0  # one pixel: ‖x − y‖² is 4
    images[2, 0, :4] = 0
    split = make_split(images, np.array([0, 1, 2]), ("a", "b", "c"))
    kernel = measure_kernel(split, make_split(images[1:2], np.array([1]), ("d",)))
    np.testing.assert_allclose(sorted(kernel.between_train), [4, 12, 16])
    np.testing.assert_allclose(kernel.to_nearest, [0], atol=1e-9)
    assert kernel.lost_pairs(1.0) == 0
    assert kernel.lost_pairs(4.0) == 2  # e^−48 and e^−64, but not e^−16
    assert kernel.median_digits(2.0) == pytest.approx(24 / np.log(10))
    assert not kernel.alone(2.0).any()


def test_scale_is_what_scikit_learn_takes_it_for() -> None:
    train = find_source("synthetic:40").split("train")
    machine = fit_svm(SVMConfig(kernel="rbf"), train.images, train.labels).machine
    named_config = SVMConfig(kernel="rbf", gamma=scale_gamma(train))
    named = fit_svm(named_config, train.images, train.labels).machine
    inputs = scale_pixels(train.images)
    np.testing.assert_allclose(machine.decision_function(inputs), named.decision_function(inputs))


@pytest.mark.slow
@pytest.mark.skipif("GURMUKHI_DATA_DIR" not in os.environ, reason="GURMUKHI_DATA_DIR is not set")
def test_every_published_figure_of_the_real_digits_is_reproduced(tmp_path: Path) -> None:
    assert study_main("gurmukhi", "--seeds", "20", "--out", str(tmp_path), "-q") == 0
    record = json.loads((tmp_path / "gurmukhi" / "report.json").read_text("utf-8"))
    assert record["source"] == "real"
    assert all(svm["equal_to_eight_digits"] for svm in record["svms"].values())
    assert min(record["mlp"]["correct"]) <= GURMUKHI_MLP_CORRECT <= max(record["mlp"]["correct"])
    curve = {point["gamma"]: point for point in record["rbf"]["curve"]}
    assert curve[2.0]["accuracy"] == 0.20224719
    assert curve[2.0]["median_kernel_digits"] > 1000
    assert curve[0.001]["accuracy"] > 0.95


def alive_in_group(group: int) -> list[str]:
    """The commands of a process group's members, but for those that only wait to be reaped."""
    alive = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, member_of = (folder / "stat").read_text().rpartition(") ")[2].split()[:3]
            if int(member_of) == group and state != "Z":
                alive.append((folder / "cmdline").read_text().replace("\0", " "))
    return alive


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_leaves_finished_rows_only(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(_HARNESS)
    out = tmp_path / "studies"
    words = ["gurmukhi", "--data", "synthetic:1000", "--seeds", "200", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, str(script), *words, "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
        start_new_session=True,  # a terminal's Ctrl-C reaches the whole group
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    rows = out / "gurmukhi" / "rows"
    deadline = time.monotonic() + 120
    while len(list(rows.glob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, shown = process.communicate(timeout=30)
    assert process.returncode == 130, shown
    assert "Traceback" not in shown
    assert shown.splitlines()[-1].endswith("interrupted")
    deadline = time.monotonic() + 30
    while (left := alive_in_group(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)  # multiprocessing's resource tracker leaves a moment after its parent
    assert left == []
    for path in rows.iterdir():
        json.loads(path.read_text("utf-8"))
    assert [path.name for path in (out / "gurmukhi").iterdir()] == ["rows"]
