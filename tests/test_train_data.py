"""gurmukhi-train data says what the data is, and in one line what is wrong with it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, run_command
from data_folders import IMAGES, encode, files_of_split, write_folder, write_zip

from gurmukhi.dataset import Split, SplitName, read_folder
from gurmukhi.errors import DataError
from gurmukhi.sources import SyntheticSource
from trainer.data import export

REAL_SHA256 = "13710789b7f7e4bb220dfb01fa537dc41eb20ba6c50a1bac9be872135bd57db1"


def synthetic_splits() -> dict[SplitName, Split]:
    source = SyntheticSource(20)
    return {"train": source.split("train"), "test": source.split("test")}


def train_data(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = run_command("trainer", "data", *words, environment=environment)
    assert "Traceback" not in done.stderr
    return done


def test_json_says_source_counts_and_audit(tmp_path: Path) -> None:
    done = train_data("--json", "--data", "synthetic:30")
    record = json.loads(done.stdout)
    assert record["source"] == "synthetic"
    assert record["splits"]["train"]["class_counts"] == [3] * 10
    assert record["splits"]["test"]["sha256"] == SyntheticSource(30).split("test").sha256
    assert record["leakage"]["identical"] == []


def test_the_real_audit_finds_duplicates_and_leakage(real_folder: Path) -> None:
    done = train_data("--json", GURMUKHI_DATA_DIR=str(real_folder))
    record = json.loads(done.stdout)
    assert record["source"] == "real"
    assert record["splits"]["test"]["class_counts"] == [18, 16, 17, 17, 18, 18, 18, 18, 18, 20]
    assert len(record["splits"]["test"]["duplicates"]) == 4
    assert len(record["leakage"]["identical"]) == 4
    assert record["leakage"]["near"] == 63


def tiff_cut_off(folder: Path) -> object:
    return (folder / "val/3/a.tiff").write_bytes(encode(IMAGES[0], "1-bit TIFF")[:-60])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no test split": (lambda f: shutil.rmtree(f / "val"), "holds no test split"),
    "a class missing": (lambda f: shutil.rmtree(f / "train/7"), "no image of class 7"),
    "no picture": (lambda f: (f / "val/3/a.png").write_bytes(b"x"), "val/3/a.png"),
    "a TIFF cut off": (tiff_cut_off, "val/3/a.tiff"),
    "another size": (
        lambda f: (f / "val/3/a.png").write_bytes(encode(IMAGES[0][:30])),
        "val/3/a.png is 32×30",
    ),
    "another archive": (
        lambda f: write_zip(f / "val.zip", files_of_split("val")),
        "val.zip: sha256 is",
    ),
    "an entry outside": (
        lambda f: write_zip(f / "val.zip", {"../3.png": b"x"}),
        "'../3.png' lies outside",
    ),
    "a line break": (lambda f: (f / "val/3/a\nb").write_bytes(b"x"), "val/3/a\\nb"),
}


def test_bad_data_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    for number, (change, message) in enumerate(BAD.values()):
        folder = write_folder(tmp_path / str(number))
        change(folder)
        done = train_data("--data", str(folder))
        assert done.returncode == 4, message
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert message in done.stderr
        assert str(folder) in done.stderr


def test_a_data_folder_of_the_environment_that_is_bad_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "file", "empty"):
        done = train_data(GURMUKHI_DATA_DIR=str(tmp_path / name))
        assert done.returncode == 4
        assert len(done.stderr.splitlines()) == 1
        assert str(tmp_path / name) in done.stderr


def test_an_export_reads_back_with_the_same_sha256(tmp_path: Path) -> None:
    out = tmp_path / "new" / "digits"
    done = train_data("--data", "synthetic:40", "--export", str(out))
    assert done.returncode == 0
    assert done.stdout.endswith(f"exported to {out}\n")
    again = json.loads(train_data("--json", "--data", str(out)).stdout)
    for name in ("train", "test"):
        split = SyntheticSource(40).split("train" if name == "train" else "test")
        assert again["splits"][name]["sha256"] == split.sha256
    assert [path.name for path in out.parent.iterdir()] == ["digits"]


def test_the_real_digits_survive_an_export(real_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "digits"
    assert train_data("--data", str(real_folder), "--export", str(out)).returncode == 0
    assert read_folder(out / "val").sha256 == REAL_SHA256


def test_an_export_into_a_used_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for target in (tmp_path, tmp_path / "mine.txt"):
        done = train_data("--data", "synthetic:20", "--export", str(target))
        assert (done.returncode, done.stdout) == (4, "")
        assert f"--export {target}: is there already" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_an_export_into_an_empty_folder_fills_it(tmp_path: Path) -> None:
    splits = synthetic_splits()
    (tmp_path / "digits").mkdir()
    export(splits, tmp_path / "digits")
    assert len(read_folder(tmp_path / "digits" / "val")) == 20
    assert (tmp_path / "digits").stat().st_mode & 0o777 == 0o755


def test_an_interrupted_export_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    save, saved = Image.Image.save, []

    def interrupted(self: Image.Image, path: Path) -> None:
        saved.append(path)
        if len(saved) == 25:
            raise KeyboardInterrupt
        save(self, path)

    monkeypatch.setattr(Image.Image, "save", interrupted)
    splits = synthetic_splits()
    with pytest.raises(KeyboardInterrupt):
        export(splits, tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []


def test_export_checks_again_before_it_writes(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(DataError, match="is there already"):
        export({}, tmp_path)


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    shell = 'set -o pipefail; "$0" -m trainer data --data synthetic:20 | head -n 1'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("source    synthetic")


def test_a_wrong_source_or_flag_is_told_apart() -> None:
    assert train_data("--data", "synthetic:5").returncode == 4
    assert train_data("--data", "synthetic:abc").returncode == 4
    assert train_data("--data").returncode == 64
    assert train_data("--nonsense").returncode == 64
