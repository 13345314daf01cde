"""Each deliberately wrong server is caught with the right exit code and the right sentence."""

import itertools
import json
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from evaluating import Evaluate, evaluate, models, read_report, report
from numpy.typing import NDArray
from wrong_servers import (
    MODEL_SHA256,
    Answers,
    Counting,
    RightServer,
    publishing_metrics,
    read_images,
    serving,
    the_split,
    write_bundle,
)

from gurmukhi.errors import TensorError

__all__ = ["evaluate", "models", "report"]  # fixtures

Shown = pytest.CaptureFixture[str]


def test_answers_shuffled_within_a_batch_are_exit_2(evaluate: Evaluate, capsys: Shown) -> None:
    class Shuffled(RightServer):
        def answer(self, images: NDArray[np.uint8]) -> Answers:
            digits, scores, probabilities = super().answer(images)
            return digits[::-1], scores[::-1], probabilities[::-1]

    with serving(Shuffled()) as target:
        assert evaluate(target, "--only", "labels,batches") == 2
    shown = capsys.readouterr().out
    assert "batches: mean:1, in batches of 2:" in shown
    assert "✗ labels" not in shown


def test_wrong_only_at_batch_size_7_is_exit_2(evaluate: Evaluate, capsys: Shown) -> None:
    class Wrong(RightServer):
        def answer(self, images: NDArray[np.uint8]) -> Answers:
            digits, scores, probabilities = super().answer(images)
            return digits * (len(images) != 7), scores, probabilities

    with serving(Wrong()) as target:
        assert evaluate(target, "--only", "batches") == 2
    shown = capsys.readouterr().out
    assert "batches: mean:1, in batches of 7:" in shown
    assert "batches of 2" not in shown


def test_wrong_only_under_concurrency_is_exit_2(evaluate: Evaluate, capsys: Shown) -> None:
    class Racing(RightServer):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()
            self.active = 0

        def answer(self, images: NDArray[np.uint8]) -> Answers:
            with self.lock:
                self.active += 1
            time.sleep(0.002)
            digits, scores, probabilities = super().answer(images)
            with self.lock:
                alone = self.active == 1
                self.active -= 1
            return (digits if alone else (digits + 1) % 10), scores, probabilities

    with serving(Racing()) as target:
        assert evaluate(target, "--profile", "nightly", "--skip", "refusals") == 2
    shown = capsys.readouterr().out
    assert "load: mean:1, with 8 calls at a time:" in shown
    assert "✗ labels" not in shown
    assert "✗ batches" not in shown


def test_latency_of_the_open_loop_counts_from_the_intended_start(
    evaluate: Evaluate, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(RightServer):
        def before(self, method: str, context: Any) -> None:
            time.sleep(0.01)

    # One call at a time, while twice as many fall due: they wait on our side, and it counts.
    monkeypatch.setattr("evaluator.load._OPEN_LOOP_THREADS", 1)
    with serving(Slow()) as target:
        assert evaluate(target, "--only", "load", "--rate", "200") == 0
    alone, _, arrivals = read_report(report)["models"][0]["latency"]
    assert arrivals["seconds"]["p90"] > alone["seconds"]["p50"] + 0.06


def test_scores_that_are_off_only_in_batches_are_exit_2(evaluate: Evaluate, capsys: Shown) -> None:
    class Off(RightServer):
        def answer(self, images: NDArray[np.uint8]) -> Answers:
            digits, scores, probabilities = super().answer(images)
            return digits, scores + np.float32(len(images) > 1), probabilities

    with serving(Off()) as target:
        assert evaluate(target, "--only", "batches") == 2
    assert "in batches of 2: the scores of 40 of 40 images are off" in capsys.readouterr().out


def test_call_that_is_dropped_once_is_tried_again_and_counted(
    evaluate: Evaluate, report: Path
) -> None:
    class Dropping(RightServer):
        calls = itertools.count()

        def before(self, method: str, context: Any) -> None:
            if next(self.calls) == 7:
                context.abort(grpc.StatusCode.UNAVAILABLE, "busy")

    with serving(Dropping()) as target:
        assert evaluate(target, "--only", "labels") == 0
    record = read_report(report)
    assert record["calls"]["retried"] == 1
    assert record["calls"]["lost"] == 0
    assert record["models"][0]["served"]["count"] == 40


class Other(RightServer):
    def sha256(self) -> str:
        return "0" * 64


class Constant(RightServer):
    """States the right sha256 and serves something else."""

    def answer(self, images: NDArray[np.uint8]) -> Answers:
        digits, scores, probabilities = super().answer(images)
        return digits * 0, scores, probabilities


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(Other, "the replica {} is stale or wrong"), (Constant, "of the replica {}: ")],
)
def test_wrong_replica_among_three_is_exit_2_and_named(
    wrong: type[RightServer], said: str, evaluate: Evaluate, report: Path, capsys: Shown
) -> None:
    with ExitStack() as stack:
        addresses = [
            stack.enter_context(serving(kind())) for kind in (RightServer, wrong, RightServer)
        ]
        assert evaluate(",".join(addresses), "--only", "model,replicas") == 2
    shown = capsys.readouterr().out
    assert said.format(addresses[1]) in shown
    assert read_report(report)["models"][0]["served_sha256"] == MODEL_SHA256
    assert addresses[2] not in shown


def test_replica_that_lacks_a_version_is_exit_2_and_named(
    evaluate: Evaluate, models: Path, capsys: Shown
) -> None:
    write_bundle(models, "mean", 2)
    both = RightServer((("mean", "1"), ("mean", "2")))
    with serving(both) as one, serving(RightServer()) as two:
        assert evaluate(f"{one},{two}", "--only", "replicas") == 2
    assert f"{two} does not know mean:2" in capsys.readouterr().out


def test_replicas_from_a_file_are_all_dialled_and_a_dead_one_is_exit_3(
    evaluate: Evaluate, tmp_path: Path, report: Path
) -> None:
    listing = tmp_path / "replicas.txt"
    with serving(RightServer()) as one, serving(RightServer()) as two:
        listing.write_text(f"# ours\n{one}\n{two} # spare\n", encoding="utf-8")
        assert evaluate(str(listing), "--only", "replicas") == 0
        assert read_report(report)["target"] == f"{one}, {two}"
        assert evaluate(f"127.0.0.1:1,{two}", "--only", "labels") == 3
    record = read_report(report)
    assert record["models"][0]["served"]["differing"] == 0  # the one that lives was replayed
    assert "127.0.0.1:1 cannot be reached" in json.dumps(record["checks"])


def test_name_is_resolved_to_its_addresses(evaluate: Evaluate, report: Path) -> None:
    with serving(RightServer()) as target:
        port = target.rpartition(":")[2]
        assert evaluate(f"dns:///127.0.0.1:{port}", "--only", "labels") == 0
    assert read_report(report)["target"] == target


def test_name_without_an_address_is_exit_3(evaluate: Evaluate, capsys: Shown) -> None:
    assert evaluate("dns:///no-such-name.invalid:8001") == 3
    assert "has no address" in capsys.readouterr().err


def test_slow_server_is_exit_5(evaluate: Evaluate, capsys: Shown) -> None:
    class Slow(RightServer):
        def before(self, method: str, context: Any) -> None:
            time.sleep(0.01)

    with serving(Slow()) as target:
        flags = ("--only", "latency", "--latency-budget")
        assert evaluate(target, *flags, "p50=5ms") == 5
        assert "one call at a time, the budget 5.00 ms" in capsys.readouterr().out
        assert evaluate(target, *flags, "p50=5s") == 0
        assert evaluate(target, *flags, "other:p50=5ms") == 0


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
def test_dropping_one_call_in_a_hundred_is_exit_3(
    code: grpc.StatusCode, evaluate: Evaluate, capsys: Shown
) -> None:
    class Dropping(RightServer):
        calls = itertools.count()

        def before(self, method: str, context: Any) -> None:
            if next(self.calls) % 100 == 99:
                context.abort(code, "dropped")

    with serving(Dropping()) as target:
        assert evaluate(target) == 3
    retried = code is grpc.StatusCode.UNAVAILABLE
    said = "calls had to be retried" if retried else "calls were lost"
    assert said in capsys.readouterr().out


def test_health_service_that_lies_is_exit_3(evaluate: Evaluate, capsys: Shown) -> None:
    class Lying(RightServer):
        """SERVING, says its health service; its model does not answer."""

        def before(self, method: str, context: Any) -> None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "loading")

    with serving(Lying()) as target:
        assert evaluate(target) == 3
    name = the_split().names[0]
    assert f"calls were lost: {name}: UNAVAILABLE: loading" in capsys.readouterr().out


def test_wrong_request_that_is_answered_is_exit_2(evaluate: Evaluate, capsys: Shown) -> None:
    class Lax(RightServer):
        def _find(self, name: str, version: str, context: Any) -> tuple[str, str]:
            return self.models[0]

    with serving(Lax()) as target:
        assert evaluate(target, "--only", "refusals") == 2
    assert "ModelInfer with an unknown model: OK, expected NOT_FOUND" in capsys.readouterr().out


class Foreign(RightServer):
    """Another server of Open Inference: no DigitService, and codes of its own."""

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    ListModels = Classify
    ClassifyBatch = Classify

    def _images(self, request: Any, context: Any) -> NDArray[np.uint8]:
        try:
            return read_images(request)
        except (ValueError, TensorError) as error:
            context.abort(grpc.StatusCode.INTERNAL, str(error))
            raise

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        reply = super().ModelInfer(request, context)
        for output in reply.outputs:  # as MLServer's codecs do with a list of values
            if len(output.shape) == 1:
                output.shape.append(1)
        return reply


def test_codes_of_a_foreign_server_are_not_offered_and_nothing_is_lost(
    evaluate: Evaluate, report: Path, capsys: Shown
) -> None:
    counting = Counting()
    with serving(Foreign(), counting) as target, publishing_metrics(counting) as url:
        assert evaluate(target, "--profile", "nightly") == 0
        record = read_report(report)
        assert evaluate(target, "--profile", "conformance", "--metrics", url) == 2
    (refusals,) = [one for one in record["checks"] if one["check"] == "refusals"]
    assert refusals["outcome"] == "not offered"
    assert "another shape: INTERNAL, expected INVALID_ARGUMENT" in refusals["sentence"]
    assert record["calls"]["lost"] == 0
    assert "✗ refusals" in capsys.readouterr().out


@pytest.mark.parametrize("aborts", [True, False])
def test_counters_that_miss_aborts_are_exit_2_in_conformance(
    aborts: bool, evaluate: Evaluate, capsys: Shown
) -> None:
    counting = Counting(aborts=aborts)
    with serving(RightServer(), counting) as target, publishing_metrics(counting) as url:
        flags = ("--profile", "conformance", "--metrics", url, "--only", "refusals,metrics")
        assert evaluate(target, *flags) == (0 if aborts else 2)
    shown = capsys.readouterr().out
    said = "ModelInfer NOT_FOUND rose by 0, 2 were sent" in shown
    assert said is not aborts


def test_page_without_the_counter_is_not_offered(evaluate: Evaluate, report: Path) -> None:
    class Silent(Counting):
        def page(self) -> str:
            return ""

        def head(self) -> str:
            return "up 1\n"

    silent = Silent()
    with serving(RightServer()) as target, publishing_metrics(silent) as url:
        assert evaluate(target, "--metrics", url, "--only", "labels,metrics") == 0
    outcomes = [
        one["outcome"] for one in read_report(report)["checks"] if one["check"] == "metrics"
    ]
    assert outcomes == ["not offered", "skipped"]


def test_counters_may_rise_by_more_outside_conformance(evaluate: Evaluate) -> None:
    class Generous(Counting):
        def page(self) -> str:
            self.counts["inference.GRPCInferenceService", "ModelInfer", "OK"] += 1000
            return super().page()

    counting = Generous()
    with serving(RightServer(), counting) as target, publishing_metrics(counting) as url:
        flags = ("--profile", "nightly", "--metrics", url, "--only", "refusals,metrics")
        assert evaluate(target, *flags) == 0
        assert evaluate(target, *flags, "--profile", "conformance") == 2


def test_a_call_that_did_not_arrive_need_not_be_counted(evaluate: Evaluate) -> None:
    class Dropping(RightServer):
        calls = itertools.count()

        def before(self, method: str, context: Any) -> None:
            if next(self.calls) == 30:
                context.abort(grpc.StatusCode.UNAVAILABLE, "on the way")

    counting = Counting(aborts=False)
    with serving(Dropping(), counting) as target, publishing_metrics(counting) as url:
        assert evaluate(target, "--metrics", url, "--only", "labels,metrics") == 0


def test_counters_that_begin_anew_are_exit_3(evaluate: Evaluate, capsys: Shown) -> None:
    """A server that was started anew has told nothing of its answers."""
    counting = Counting()
    counting.counts["inference.GRPCInferenceService", "ModelInfer", "OK"] = 1000

    class Restarted(RightServer):
        def before(self, method: str, context: Any) -> None:
            counting.counts.clear()

    with serving(Restarted(), counting) as target, publishing_metrics(counting) as url:
        assert evaluate(target, "--metrics", url, "--only", "labels,metrics") == 3
    assert "the server was started anew" in capsys.readouterr().out


def make_baseline(report: Path, path: Path, *, better: int) -> None:
    """Write a baseline with more right answers than the last run has."""
    record = read_report(report)
    served = record["models"][0]["served"]
    labels = the_split().labels
    wrong = np.flatnonzero(np.array(served["predictions"]) != labels)
    for index in wrong[:better]:
        served["predictions"][index] = int(labels[index])
    path.write_text(json.dumps(record), encoding="utf-8")


def test_baseline_from_better_models_is_exit_1(
    evaluate: Evaluate, report: Path, tmp_path: Path, capsys: Shown
) -> None:
    baseline = tmp_path / "baseline.json"
    with serving(RightServer()) as target:
        assert evaluate(target) == 0
        make_baseline(report, baseline, better=2)
        capsys.readouterr()
        assert evaluate(target, "--baseline", str(baseline)) == 1
        shown = capsys.readouterr().out
        assert evaluate(target, "--baseline", str(baseline), "--allow-lost", "2") == 0
    assert "mean:1: 37 of 40 answers are right, 39 in the baseline (McNemar p = 0.5)" in shown
    assert "changed: synthetic/test/" in shown


def test_baseline_is_updated_unless_answers_were_lost_and_that_is_accepted(
    evaluate: Evaluate, report: Path, tmp_path: Path, capsys: Shown
) -> None:
    baseline = tmp_path / "baseline.json"
    flags = ("--baseline", str(baseline), "--update-baseline")
    with serving(RightServer()) as target:
        assert evaluate(target, *flags) == 0
        assert baseline.is_file()
        make_baseline(report, baseline, better=1)
        before = baseline.read_bytes()
        assert evaluate(target, *flags) == 1
        assert baseline.read_bytes() == before
        capsys.readouterr()
        assert evaluate(target, *flags, "--accept") == 0
        assert "± baseline: accepted: mean:1: 37 of 40 answers are right, 38 in" in (
            capsys.readouterr().out
        )
        assert baseline.read_bytes() != before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": {"sha256": "x"}}'])
def test_damaged_baseline_is_exit_4(
    text: str, evaluate: Evaluate, tmp_path: Path, capsys: Shown
) -> None:
    baseline = tmp_path / "baseline.json"
    baseline.write_text(text, encoding="utf-8")
    assert evaluate("127.0.0.1:1", "--baseline", str(baseline)) == 4
    assert "is no report.json" in capsys.readouterr().err


def test_baseline_of_other_data_is_exit_4(
    evaluate: Evaluate, report: Path, tmp_path: Path, capsys: Shown
) -> None:
    with serving(RightServer()) as target:
        assert evaluate(target) == 0
        record = read_report(report)
        record["data"]["sha256"] = "0" * 64
        baseline = tmp_path / "baseline.json"
        baseline.write_text(json.dumps(record), encoding="utf-8")
        assert evaluate(target, "--baseline", str(baseline)) == 4
    assert "is of the data 0000" in capsys.readouterr().out


def test_right_servers_pass_every_check_at_once(
    evaluate: Evaluate, models: Path, report: Path
) -> None:
    write_bundle(models, "mean", 2)
    both = (("mean", "1"), ("mean", "2"))
    counting = Counting()
    with (
        serving(RightServer(both), counting) as one,
        serving(RightServer(both)) as two,
        publishing_metrics(counting) as url,
    ):
        flags = ("--profile", "conformance", "--metrics", url, "--latency-budget", "p99=5s")
        assert evaluate(f"{one},{two}", *flags) == 0
    outcomes = {check["outcome"] for check in read_report(report)["checks"]}
    assert outcomes == {"pass", "skipped"}  # there is no baseline
    skipped = [one for one in read_report(report)["checks"] if one["outcome"] == "skipped"]
    assert [one["check"] for one in skipped] == ["baseline"]
