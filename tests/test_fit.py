"""gurmukhi-train fit publishes whole bundles, the same ones from the same seed, or nothing."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, heed_interrupts, run_command

from gurmukhi.bundle import find_bundles, read_bundle
from gurmukhi.evaluation import Evaluation
from gurmukhi.labels import GLYPHS
from gurmukhi.manifest import CARD, FILES, GOLDEN
from gurmukhi.metrics import class_wise_accuracy
from gurmukhi.sources import SyntheticSource
from trainer.__main__ import main

QUICK = ("--data", "synthetic", "--versions", "1", "--parity-images", "200")
MODELS = ["mlp", "svm-linear", "svm-poly", "svm-rbf", "svm-sigmoid"]


def fit(models: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    done = run_command("trainer", "fit", "--models", str(models), *QUICK, *flags)
    assert "Traceback" not in done.stderr
    return done


def digests(bundle: Path) -> dict[str, str]:
    return {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in FILES}


def test_every_model_is_published_whole(models: Path) -> None:
    bundles = find_bundles(models)
    assert [folder.parent.name for folder in bundles] == MODELS
    for folder in bundles:
        bundle = read_bundle(folder)
        bundle.verify()
        assert bundle.manifest.labels == GLYPHS
        assert bundle.manifest.data.source == "synthetic"
        assert bundle.manifest.parity["labels_that_differ"] == 0
        assert bundle.manifest.parity["images"] == 1000 + 178 + 64 + 200


def test_nothing_is_left_beside_the_repository(models: Path) -> None:
    assert [path.name for path in models.parent.iterdir()] == [models.name]
    assert sorted(path.name for path in (models / "mlp").iterdir()) == ["1", "config.pbtxt"]


def test_the_evaluation_is_of_the_test_split(models: Path) -> None:
    split = SyntheticSource().split("test")
    for folder in find_bundles(models):
        bundle = read_bundle(folder)
        evaluation = Evaluation.read(bundle)
        assert evaluation.data_sha256 == bundle.manifest.data.test_sha256 == split.sha256
        assert evaluation.names == split.names
        assert np.array_equal(evaluation.labels, split.labels)
        assert evaluation.accuracy == bundle.manifest.accuracy


def test_the_same_seed_gives_the_same_files(models: Path, tmp_path: Path) -> None:
    assert fit(tmp_path, "--model", "mlp", "-q").returncode == 0
    first, again = digests(models / "mlp" / "1"), digests(tmp_path / "mlp" / "1")
    del first[CARD], again[CARD]  # it holds how fast this machine is
    assert first == again


@pytest.mark.slow
def test_another_seed_gives_another_network(models: Path, tmp_path: Path) -> None:
    assert fit(tmp_path, "--model", "mlp", "--seed", "1", "-q").returncode == 0
    first, other = digests(models / "mlp" / "1"), digests(tmp_path / "mlp" / "1")
    assert all(first[name] != other[name] for name in FILES)


@pytest.mark.slow
def test_a_machines_bundle_is_the_same_whatever_the_seed(models: Path, tmp_path: Path) -> None:
    assert fit(tmp_path / "m", "--model", "svm-rbf", "--seed", "5", "-q").returncode == 0
    first, again = digests(models / "svm-rbf" / "1"), digests(tmp_path / "m" / "svm-rbf" / "1")
    assert first["model.onnx"] == again["model.onnx"]
    assert first[GOLDEN] == again[GOLDEN]


@pytest.mark.parametrize(
    "flags",
    [
        ("--model", "nothing"),
        ("--seed", "-1"),
        ("--seed", str(2**32)),
        ("--jobs", "0"),
        ("--parity-images", "9"),
        ("--versions", "3"),
    ],
)
def test_a_wrong_flag_is_64(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--models", str(tmp_path / "models"), *flags])
    assert ended.value.code == 64
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_repository_that_is_a_file_is_refused_before_anything_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("precious")
    for target in (tmp_path / "file", tmp_path / "file" / "models"):
        assert main(["fit", "--models", str(target), *QUICK]) == 4
        errors = capsys.readouterr().err
        assert len(errors.splitlines()) == 1
        assert "is a file, not a folder" in errors
    assert (tmp_path / "file").read_text() == "precious"


def test_bad_data_is_refused_before_anything_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["fit", "--models", str(tmp_path / "m"), "--data", str(tmp_path / "empty")]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "m").exists()


def session_of(pid: int) -> list[int]:
    """The processes, zombies left out, of the session that a process leads."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(session) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


@contextmanager
def fitting(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Fit in a session of its own, with the whole parity gate, and end what is left of it."""
    command = [sys.executable, "-m", "trainer", "fit", "--data", "synthetic", "--jobs", "2"]
    process = subprocess.Popen(
        [*command, "--models", str(folder / "models")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    try:
        yield process
    finally:
        for pid in session_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def wait_for_workers(process: subprocess.Popen[str]) -> list[int]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # The parent, its resource tracker, and two workers.
        if len(found := session_of(process.pid)) >= 4:
            return [pid for pid in found if pid != process.pid and is_worker(pid)]
        time.sleep(0.05)
    raise TimeoutError("no worker was started")


def wait_for_import(process: subprocess.Popen[str]) -> None:
    """Wait until the command imports PyTorch: before that the interpreter itself is starting."""
    deadline = time.monotonic() + 60
    while b"libtorch" not in Path(f"/proc/{process.pid}/maps").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_worker(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["process", "group"])
@pytest.mark.parametrize("when", ["importing", "starting workers", "fitting"])
def test_an_interrupt_leaves_nothing(tmp_path: Path, whom: str, when: str) -> None:
    with fitting(tmp_path) as process:
        if when == "importing":
            wait_for_import(process)
        else:
            wait_for_workers(process)
        if when == "fitting":
            time.sleep(8)
        if whom == "process":
            process.send_signal(signal.SIGINT)
        else:
            os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        assert errors.splitlines()[-1] == "gurmukhi-train fit: interrupted"
        deadline = time.monotonic() + 10
        while session_of(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert session_of(process.pid) == []
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_worker_that_is_killed_is_one_line(tmp_path: Path) -> None:
    with fitting(tmp_path) as process:
        os.kill(wait_for_workers(process)[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "Traceback" not in errors
        assert errors.splitlines()[-1] == (
            "gurmukhi-train fit: a worker process ended by SIGKILL before its task did"
        )
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_real_digits_give_the_published_figures(real_folder: Path, tmp_path: Path) -> None:
    done = run_command(
        *("trainer", "fit", "--versions", "1", "--parity-images", "1000", "-q"),
        *("--models", str(tmp_path), "--data", str(real_folder)),
    )
    assert done.returncode == 0, done.stderr
    correct = {
        row[0]: int(row[1]) for row in re.findall(r"^(\S+) +1 +(\d+)/178", done.stdout, re.M)
    }
    assert 167 <= correct.pop("mlp") <= 172
    assert correct == {"svm-linear": 173, "svm-poly": 172, "svm-rbf": 36, "svm-sigmoid": 170}
    evaluation = Evaluation.read(read_bundle(tmp_path / "svm-linear" / "1"))
    published = [
        1, 0.98314607, 0.98876404, 0.99438202, 0.99438202, 1, 1, 0.98314607, 1, 1,
    ]  # fmt: skip
    class_wise = class_wise_accuracy(evaluation.labels, evaluation.predictions)
    assert np.allclose(class_wise, published, rtol=0, atol=5e-9)
