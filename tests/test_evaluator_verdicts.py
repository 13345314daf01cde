"""The command's exit code and its sentences, on right servers and wrong ones."""

import _thread
import itertools
import socket
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from evaluating import Evaluate, _interruptible, evaluate, models, read_report, report
from numpy.typing import NDArray
from wrong_servers import (
    DATA,
    Answers,
    RightServer,
    nearest_mean,
    serving,
    the_split,
    write_bundle,
    write_manifest,
)

from evaluator.__main__ import main
from gurmukhi.bundle import read_bundle
from gurmukhi.evaluation import Evaluation
from gurmukhi.manifest import EVALUATION, MANIFEST, MODEL

__all__ = ["_interruptible", "evaluate", "models", "report"]  # fixtures


def test_right_server_passes_and_the_table_says_so(
    evaluate: Evaluate, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(RightServer()) as target:
        assert evaluate(target, "--profile", "nightly") == 0
    shown = capsys.readouterr().out
    assert "verdict: pass (exit code 0)" in shown
    assert f"report: {report / 'report.html'}" in shown
    record = read_report(report)
    assert record["verdict"] == "pass"
    assert {check["outcome"] for check in record["checks"]} <= {"pass", "skipped"}
    (model,) = record["models"]
    assert model["served"]["differing"] == 0
    assert model["served"]["confusion_matrix"] == model["offline"]["confusion_matrix"]
    assert set(model["latency_seconds"]) == {"p50", "p90", "p99", "p99.9"}


def test_synthetic_result_says_so_in_table_and_report(
    evaluate: Evaluate, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(RightServer()) as target:
        evaluate(target)
    assert "SYNTHETIC DIGITS" in capsys.readouterr().out
    assert "SYNTHETIC DIGITS" in (report / "report.html").read_text(encoding="utf-8")
    assert read_report(report)["data"]["synthetic"] is True


def test_dead_port_is_exit_3_within_seconds(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:  # bound and never listening
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        assert evaluate(target) == 3
    assert time.monotonic() - started < 5
    assert f"{target} cannot be reached: UNAVAILABLE" in capsys.readouterr().out


def test_another_model_file_is_exit_2(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    class Other(RightServer):
        def sha256(self) -> str:
            return "0" * 64

    with serving(Other()) as target:
        assert evaluate(target) == 2
    assert "serves another mean:1: its sha256 is 0000" in capsys.readouterr().out


def test_wrong_label_is_exit_2_and_the_image_is_named(
    evaluate: Evaluate, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wrong(RightServer):
        calls = itertools.count()

        def answer(self, images: NDArray[np.uint8]) -> Answers:
            digits, scores, probabilities = super().answer(images)
            if next(self.calls) == 7:
                digits = (digits + 1) % 10
            return digits, scores, probabilities

    with serving(Wrong()) as target:
        assert evaluate(target) == 2
    name = the_split().names[7]
    assert f"1 of 40 labels differ from the bundle's: {name} (" in capsys.readouterr().out
    record = read_report(report)
    assert record["exit_code"] == 2
    assert record["models"][0]["served"]["differing"] == 1
    assert name in (report / "report.html").read_text(encoding="utf-8")


def test_two_labels_swapped_under_the_same_matrix_are_exit_2(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    class Swapped(RightServer):
        """Gives two images of one class each other's answer."""

        def __init__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
            super().__init__()
            self.swap = {first.tobytes(): second, second.tobytes(): first}

        def answer(self, images: NDArray[np.uint8]) -> Answers:
            return super().answer(np.stack([self.swap.get(x.tobytes(), x) for x in images]))

    first, second = _same_class_other_answer()
    with serving(Swapped(first, second)) as target:
        assert evaluate(target) == 2
    shown = capsys.readouterr().out
    assert "2 of 40 labels differ" in shown
    assert "accuracy:" not in shown


def _same_class_other_answer() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    split = the_split()
    digits = nearest_mean(split.images)[0]
    for i, j in itertools.combinations(range(len(split)), 2):
        if split.labels[i] == split.labels[j] and digits[i] != digits[j]:
            return split.images[i], split.images[j]
    raise AssertionError("the small model reads every image of every class alike")


def test_scores_off_by_a_hundredth_are_exit_2(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    class Off(RightServer):
        def answer(self, images: NDArray[np.uint8]) -> Answers:
            digits, scores, probabilities = super().answer(images)
            return digits, scores + np.float32(1e-2), probabilities

    with serving(Off()) as target:
        assert evaluate(target) == 2
    shown = capsys.readouterr().out
    assert "the scores of 40 of 40 images are off by more than 0.0001" in shown
    assert "labels:" not in shown


def test_inverted_polarity_is_exit_2(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    class Inverted(RightServer):
        def answer(self, images: NDArray[np.uint8]) -> Answers:
            return super().answer(255 - images)

    with serving(Inverted()) as target:
        assert evaluate(target) == 2
    assert "of 40 labels differ from the bundle's: synthetic/test/" in capsys.readouterr().out


def test_digit_outside_the_classes_is_exit_2(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    class Eleven(RightServer):
        def answer(self, images: NDArray[np.uint8]) -> Answers:
            digits, scores, probabilities = super().answer(images)
            return digits + 10, scores, probabilities

        def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    with serving(Eleven()) as target:
        assert evaluate(target) == 2
    assert "is none of 0 to 9" in capsys.readouterr().out


def test_classify_that_disagrees_with_model_infer_is_exit_2(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    class Blank(RightServer):
        def decode(self, image: Any, context: Any) -> NDArray[np.uint8]:
            return np.array(super().decode(image, context)[::-1])

    with serving(Blank()) as target:
        assert evaluate(target) == 2
    assert "Classify and ModelInfer disagree on" in capsys.readouterr().out


def test_server_without_digit_service_and_health_passes_with_both_not_offered(
    evaluate: Evaluate, report: Path
) -> None:
    class Plain(RightServer):
        def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

        ListModels = Classify
        ClassifyBatch = Classify

        def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
            reply = super().ModelMetadata(request, context)
            reply.properties.clear()
            return reply

    with serving(Plain()) as target:
        assert evaluate(target) == 0
    outcomes = {(one["check"], one["outcome"]) for one in read_report(report)["checks"]}
    assert {("model", "not offered"), ("apis", "not offered")} <= outcomes


def test_server_that_fails_every_call_is_exit_3_and_no_answer_is_called_wrong(
    evaluate: Evaluate, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(RightServer):
        def before(self, method: str, context: Any) -> None:
            context.abort(grpc.StatusCode.INTERNAL, "out of order")

    with serving(Failing()) as target:
        assert evaluate(target) == 3
    name = the_split().names[0]
    assert f"40 of 40 calls were lost: {name}: INTERNAL" in capsys.readouterr().out
    (model,) = read_report(report)["models"]
    assert (model["served"]["count"], model["served"]["differing"]) == (0, 0)


def test_server_that_loses_some_calls_is_exit_3(evaluate: Evaluate, report: Path) -> None:
    class Dropping(RightServer):
        calls = itertools.count()

        def before(self, method: str, context: Any) -> None:
            if next(self.calls) % 20 == 7:
                context.abort(grpc.StatusCode.INTERNAL, "dropped")

    with serving(Dropping()) as target:
        assert evaluate(target) == 3
    (model,) = read_report(report)["models"]
    assert (model["served"]["count"], model["served"]["differing"]) == (38, 0)
    assert model["served"]["lost"] == 2


def test_model_that_is_not_served_is_exit_2(
    evaluate: Evaluate, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bundle(models, "mean", 2)
    with serving(RightServer()) as target:
        assert evaluate(target) == 2
        assert "mean:2 is in the repository, and the target does not know it" in (
            capsys.readouterr().out
        )
        assert evaluate(target, "--model", "mean:1") == 0


def test_health_service_that_says_not_serving_is_exit_3(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    from grpc_health.v1 import health_pb2

    server = RightServer()
    server.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    with serving(server) as target:
        assert evaluate(target) == 3
    assert "health NOT_SERVING" in capsys.readouterr().out


def test_missing_manifest_is_exit_4(
    evaluate: Evaluate, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (models / "mean" / "1" / MANIFEST).unlink()
    with serving(RightServer()) as target:
        assert evaluate(target) == 4
    assert "no manifest.json, so the bundle was never finished" in capsys.readouterr().out


def test_offline_labels_changed_under_the_manifest_are_exit_4(
    evaluate: Evaluate, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _swap_offline_labels(models / "mean" / "1")
    with serving(RightServer()) as target:
        assert evaluate(target) == 4
    assert "evaluation.json: sha256 is" in capsys.readouterr().out


def test_offline_labels_changed_with_the_manifest_are_exit_2(
    evaluate: Evaluate, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = models / "mean" / "1"
    _swap_offline_labels(folder)
    write_manifest(folder)
    with serving(RightServer()) as target:
        assert evaluate(target) == 2
    assert "2 of 40 labels differ" in capsys.readouterr().out


def _swap_offline_labels(folder: Path) -> None:
    evaluation = Evaluation.read(read_bundle(folder))
    digits = evaluation.predictions
    other = int(np.flatnonzero(digits != digits[0])[0])
    digits[[0, other]] = digits[[other, 0]]
    (folder / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")


def test_data_of_another_sha256_is_exit_4_with_a_hint(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(RightServer()) as target:
        assert evaluate(target, data="synthetic") == 4
    shown = capsys.readouterr().out
    assert "mean:1 was evaluated on synthetic digits (40 images" in shown
    assert "--data synthetic:40" in shown


def test_repository_without_bundles_is_exit_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["--models", str(tmp_path / "empty"), "--data", DATA]) == 4
    assert "holds no bundle" in capsys.readouterr().err
    assert main(["--models", str(tmp_path / "none"), "--data", DATA]) == 4
    assert "no such model repository" in capsys.readouterr().err


def test_unknown_model_names_those_there_are(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("127.0.0.1:1", "--model", "median") == 4
    assert "--model median: not in" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--tartget", "x"], ["--timeout", "0"], ["--timeout", "soon"]])
def test_wrong_flag_is_exit_64_in_one_line(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(flags)
    assert stopped.value.code == 64
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("_interruptible")
def test_interrupted_run_reports_what_it_has_and_is_exit_130(
    evaluate: Evaluate, report: Path
) -> None:
    class Interrupting(RightServer):
        def before(self, method: str, context: Any) -> None:

            _thread.interrupt_main()
            time.sleep(0.2)

    with serving(Interrupting()) as target:
        assert evaluate(target) == 130
    record = read_report(report)
    assert record["verdict"] == "incomplete"
    assert record["complete"] is False
    assert len(record["checks"]) >= 3


def test_no_half_written_report_is_left(evaluate: Evaluate, report: Path) -> None:
    with serving(RightServer()) as target:
        evaluate(target)
    assert sorted(path.name for path in report.iterdir()) == [
        "confusion.csv",
        "junit.xml",
        "predictions.jsonl",
        "report.html",
        "report.json",
        "summary.md",
    ]


def test_report_folder_that_is_a_file_is_exit_4_before_anything_is_asked(
    evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").touch()
    assert evaluate("127.0.0.1:1", "--report", str(tmp_path / "taken")) == 4
    assert capsys.readouterr().err.endswith("taken: File exists\n")


def test_flipped_byte_in_the_bundles_model_file_is_exit_4(
    evaluate: Evaluate, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = models / "mean" / "1" / MODEL
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    with serving(RightServer()) as target:
        assert evaluate(target) == 4
    assert "model.onnx: sha256 is" in capsys.readouterr().out
