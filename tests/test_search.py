"""The search reads training images alone, can be interrupted, and writes what `fit` reads."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import heed_interrupts
from PIL import Image

from gurmukhi.dataset import Split, make_split
from gurmukhi.errors import DataError
from gurmukhi.synthetic import synthetic_digits
from trainer.__main__ import main
from trainer.names import MODELS
from trainer.recipes import searched_recipes
from trainer.search_journal import Journal, trial_key
from trainer.search_space import candidates
from trainer.search_trial import FOLDS, Trial, fold_of
from trainer.selection import (
    committed_selection,
    config_record,
    parse_config,
    parse_selection,
)

FIGURES = {"errors": 1}


def split(count: int = 60) -> Split:
    images, labels = synthetic_digits(count, 7)
    return make_split(images, labels, map(str, range(count)))


def trial(partition: int = 0, train: Split | None = None) -> Trial:
    config = candidates()["svm-linear"][0]
    return Trial("svm-linear", config, partition, train or split())


@pytest.fixture
def train_folder(tmp_path: Path) -> Path:
    """A data set of which there is no test split."""
    images, labels = synthetic_digits(60, 7)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "data" / "train" / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert("1").save(path)
    return tmp_path / "data"


def search(data: Path, out: Path, *more: str) -> list[str]:
    return [
        *("search", "--data", str(data), "--out", str(out), "--model", "svm-linear"),
        *("--limit", "2", "--jobs", "1", "-q", *more),
    ]


@pytest.mark.slow
def test_a_search_needs_no_test_split_and_when_interrupted_goes_on_from_its_finished_trials(
    train_folder: Path, tmp_path: Path
) -> None:
    assert not (train_folder / "val").exists()
    out = tmp_path / "selected.json"
    journal = tmp_path / "selected.trials.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", *search(train_folder, out)],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n"):
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.02)
    _, errors = process.communicate(timeout=60)
    finished = journal.read_bytes()
    if process.returncode != 0:  # it may have been quicker than the signal
        assert process.returncode == 130
        assert errors.decode().endswith("interrupted\n")
        assert not out.exists()
    assert main(search(train_folder, out)) == 4  # not without --resume
    assert main(search(train_folder, out, "--resume")) == 0
    assert journal.read_bytes().startswith(finished)
    (winner,) = parse_selection(out.read_text()).values()
    evidence = winner.evidence
    assert evidence["candidates"] == 2
    assert evidence["images"] == 60
    assert {"errors", "on_other_folds", "calibration"} <= set(evidence)
    assert len(winner.slopes) == 2
    assert searched_recipes({"svm-linear": winner})[0].version == 2


def test_the_folds_are_balanced_and_another_partition_has_others() -> None:
    labels = np.arange(100) % 10
    folds = fold_of(labels, 0)
    assert np.bincount(folds * 10 + labels, minlength=10 * FOLDS).tolist() == [2] * 50
    assert not np.array_equal(folds, fold_of(labels, 1))


def test_a_journal_keeps_figures_by_what_makes_a_trial(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    Journal.open(path, resume=False).add(trial(), FIGURES)
    again = Journal.open(path, resume=True)
    assert again.figures(trial()) == FIGURES
    assert again.figures(trial(partition=1)) is None
    assert again.figures(trial(train=split(70))) is None


def test_a_last_line_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    Journal.open(path, resume=False).add(trial(), FIGURES)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    journal = Journal.open(path, resume=True)
    assert len(journal) == 1
    journal.add(trial(partition=1), FIGURES)
    assert len(Journal.open(path, resume=True)) == 2


def test_a_damaged_line_within_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    Journal.open(path, resume=False).add(trial(), FIGURES)
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(DataError, match=r"trials\.jsonl:1: not a trial"):
        Journal.open(path, resume=True)


@pytest.mark.parametrize("model", MODELS)
def test_configurations_survive_json(model: str) -> None:
    for config in candidates()[model]:
        assert parse_config(json.loads(json.dumps(config_record(config)))) == config


def test_every_trial_has_a_key_of_its_own() -> None:
    train = split()
    trials = [Trial(name, c, 0, train) for name, configs in candidates().items() for c in configs]
    assert len({trial_key(one) for one in trials}) == len(trials)


def test_the_committed_winners_are_candidates_chosen_on_the_real_training_images() -> None:
    selected = committed_selection()
    assert set(selected) == set(MODELS)
    for name, winner in selected.items():
        assert winner.config in candidates()[name]
        assert winner.evidence["images"] == 1000
        assert winner.evidence["calibration"]["error"] <= 0.02
        assert 0 < winner.warn_below < 1
    assert selected["mlp"].evidence["accuracy"] >= 0.997


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a selection"),
        ("{}", "format_version is missing"),
        ('{"format_version": 9}', "format_version is 9, expected 1"),
        ('{"format_version": 1, "models": {"mlp": {}}}', "config is missing"),
    ],
)
def test_a_wrong_selection_is_said_to_be_one(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_selection(text)
