"""An evaluation's figures follow from its answers, or it is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import edit_json, evaluation_of, reseal, write_bundle

from gurmukhi.bundle import read_bundle
from gurmukhi.errors import BundleError
from gurmukhi.evaluation import Evaluation
from gurmukhi.manifest import EVALUATION


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The folder of a sound bundle."""
    return write_bundle(tmp_path / "models")


def test_an_evaluation_reads_back_as_it_was_written(bundle: Path) -> None:
    written, read = evaluation_of("mlp", 1), Evaluation.read(read_bundle(bundle))
    assert read.accuracy == 0.9
    assert read.names == written.names
    assert np.array_equal(read.labels, written.labels)
    assert np.array_equal(read.predictions, written.predictions)
    assert np.array_equal(read.scores, written.scores)
    assert (read.model, read.version, read.data_sha256) == ("mlp", 1, "0" * 64)
    assert read.confusion_matrix.sum() == 20


def test_scores_survive_to_the_last_bit() -> None:
    evaluation = evaluation_of("mlp", 1)
    values = np.array([1e-38, -0.1, 3.4e38, 1 / 3, 0, -0.0, 7, 1e-45, 2**-24, 16777217], np.float32)
    assert np.float32(float(str(values[0]))) == values[0]
    evaluation.scores[0] = values
    text = evaluation.to_json()
    assert str(float(values[3])) in text


def test_a_swapped_label_changes_the_sha256(bundle: Path) -> None:
    def swap(record: Any) -> None:
        record["images"][3]["predicted"] = (record["images"][3]["predicted"] + 1) % 10

    edit_json(bundle / EVALUATION, swap)
    with pytest.raises(BundleError, match=r"evaluation\.json: sha256 is"):
        Evaluation.read(read_bundle(bundle))


def swap_a_prediction(record: Any) -> None:
    record["images"][3]["predicted"] = (record["images"][3]["predicted"] + 1) % 10


def swap_two_labels(record: Any) -> None:
    one, other = record["images"][4], record["images"][7]
    one["label"], other["label"] = other["label"], one["label"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_a_prediction, "its correct does not follow from its images"),
        (swap_two_labels, "does not follow from its images"),
        (lambda r: r.update(accuracy=0.95), "its accuracy does not follow"),
        (lambda r: r.update(count=21), "its count does not follow"),
        (lambda r: r["class_wise_accuracy"].reverse(), "its class_wise_accuracy does not follow"),
        (lambda r: r["confusion_matrix"][0].reverse(), "its confusion_matrix does not follow"),
        (lambda r: r["images"].pop(), "does not follow"),
        (lambda r: r.pop("correct"), "correct is missing"),
        (lambda r: r.pop("images"), "images is missing"),
        (lambda r: r["images"][2].pop("scores"), "scores is missing"),
        (lambda r: r["images"].clear(), "not an evaluation"),
        (lambda r: r.update(images=3), "not an evaluation"),
        (lambda r: r["images"][2].update(scores=[1, 2]), "not an evaluation"),
        (lambda r: r["images"][2].update(predicted=12), "the prediction 12 is none of 0 to 9"),
        (lambda r: r["images"][2].update(label="three"), "not an evaluation"),
        (lambda r: r["images"][2].update(label=10**30), "not an evaluation"),
        (lambda r: r.update(format_version=2), "format_version is 2, expected 1"),
        (lambda r: r.update(model="svm-rbf"), "is of svm-rbf/1, the manifest of mlp/1"),
        (lambda r: r.update(version=3), "is of mlp/3, the manifest of mlp/1"),
    ],
)
def test_an_evaluation_is_refused_even_with_the_right_sha256(
    bundle: Path, change: Callable[[Any], object], message: str
) -> None:
    edit_json(bundle / EVALUATION, change)
    reseal(bundle)
    with pytest.raises(BundleError, match=message):
        Evaluation.read(read_bundle(bundle))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, "\xff"])
def test_what_is_no_evaluation_is_refused(bundle: Path, text: str) -> None:
    (bundle / EVALUATION).write_bytes(text.encode("latin-1"))
    reseal(bundle)
    with pytest.raises(BundleError, match=r"evaluation\.json: "):
        Evaluation.read(read_bundle(bundle))


def test_it_holds_no_pixels(bundle: Path) -> None:
    assert "pixels" not in (bundle / EVALUATION).read_text()
    assert (bundle / EVALUATION).stat().st_size < 20 * 1024
