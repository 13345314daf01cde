"""Finished rows are kept whole, and only for the same data, code and configuration."""

import json
from pathlib import Path

import numpy as np
import pytest

from trainer import backprop, mlp
from trainer.study.outcome import Outcome, Scores
from trainer.study.store import Store, dependencies, write_whole

ROW = {"config": {"hidden": (16,), "loss": "nll"}, "seed": 3}


def outcome(**changes: object) -> Outcome:
    values = {"predictions": np.array([3, 0, 9]), "losses": (0.5, 0.25), "seconds": 1.5}
    return Outcome(**(values | changes))  # type: ignore[arg-type]  # a test's shorthand


def test_a_kept_row_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path, {"data": "a"})
    store.put(ROW, outcome())
    found = store.get(ROW)
    assert found is not None
    assert found.predictions.tolist() == [3, 0, 9]
    assert (found.losses, found.seconds, found.finite) == ((0.5, 0.25), 1.5, True)


def test_losses_that_are_no_numbers_are_kept_as_valid_json(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.put(ROW, outcome(losses=(2.5, float("nan")), finite=False))
    (path,) = tmp_path.iterdir()
    assert "NaN" not in path.read_text()
    found = store.get(ROW)
    assert found is not None
    assert np.isnan(found.losses[1])
    assert not found.finite


@pytest.mark.parametrize("change", [{"seed": 4}, {"config": {"hidden": (17,), "loss": "nll"}}])
def test_another_row_is_not_found(tmp_path: Path, change: dict[str, object]) -> None:
    store = Store(tmp_path, {})
    store.put(ROW, outcome())
    assert store.get(ROW | change) is None


def test_other_data_or_code_does_not_find_the_row(tmp_path: Path) -> None:
    Store(tmp_path, dependencies(["a"], [mlp])).put(ROW, outcome())
    assert Store(tmp_path, dependencies(["a"], [mlp])).get(ROW) is not None
    assert Store(tmp_path, dependencies(["b"], [mlp])).get(ROW) is None
    assert Store(tmp_path, dependencies(["a"], [mlp, backprop])).get(ROW) is None


@pytest.mark.parametrize(
    "damage", ["", "{", '{"outcome": {}}', "[1]", '{"outcome": {"predictions": "x"}}']
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path, {})
    store.put(ROW, outcome())
    (path,) = tmp_path.iterdir()
    path.write_text(damage)
    assert store.get(ROW) is None


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_whole(path, "old")

    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "old"


def test_scores_are_written_to_eight_digits() -> None:
    scores = Scores.of(np.array([3, 1, 9]), outcome())
    record = json.loads(json.dumps(scores.to_json()))
    assert record["accuracy"] == 0.66666667
    assert record["class_wise_accuracy"][0] == 0.66666667
    assert record["confusion_matrix"][1][0] == 1
