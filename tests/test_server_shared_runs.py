"""Calls that wait for the same model share a run of its graph, and each keeps its own outcome."""

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import RunningServer, serving
from prometheus_client import CollectorRegistry

from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from gurmukhi.v1.digits_pb2_grpc import DigitServiceStub
from server.errors import DeadlinePassed
from server.metrics import ServerMetrics
from server.model import Model, load_model
from server.predictor import GraphRun, Predictor
from server.steps import Steps, finish, walk

IMAGES, _ = synthetic_digits(40, 37)


@pytest.fixture
def running(models: Path) -> Iterator[RunningServer]:
    """A server with one thread, behind which calls wait."""
    with serving(models, "--threads", "1", "--queue", "500") as server:
        yield server


def total(running: RunningServer, name: str, model: str) -> int:
    with urllib.request.urlopen(f"{running.http}/metrics", timeout=20) as reply:
        text = reply.read().decode()
    found = re.findall(rf'^{name}\{{.*model="{model}".*\}} (\S+)$', text, re.MULTILINE)
    return int(sum(map(float, found)))


def request(index: int, **fields: Any) -> pb.ClassifyRequest:
    image = pb.Image(pixels=IMAGES[index % len(IMAGES)].tobytes())
    return pb.ClassifyRequest(**{"image": image, "version": "1", **fields})


def test_calls_that_wait_share_runs_and_get_the_answers_of_calls_alone(
    running: RunningServer,
) -> None:
    with grpc.insecure_channel(running.target) as channel:
        classify = DigitServiceStub(channel).Classify
        asked = [request(index, model=["mlp", "svm-rbf"][index % 2]) for index in range(400)]
        alone = [classify(one, timeout=60) for one in asked[:40]]
        together = [one.result() for one in [classify.future(one, timeout=60) for one in asked]]
    for index, answer in enumerate(together):
        expected = alone[index % len(alone)]
        assert answer.model == expected.model
        assert answer.classification.digit == expected.classification.digit
        assert np.allclose(answer.classification.scores, expected.classification.scores, atol=1e-4)
    for model in ("mlp", "svm-rbf"):
        assert total(running, "gurmukhi_predictions_total", model) == 220
        assert total(running, "gurmukhi_postprocess_duration_seconds_count", model) == 220
        assert total(running, "gurmukhi_inference_duration_seconds_count", model) < 200


def test_a_call_that_is_refused_takes_nobody_along(running: RunningServer) -> None:
    bad: dict[int, dict[str, Any]] = {
        3: {"image": pb.Image(pixels=b"short")},
        7: {"model": "no"},
        11: {"top_k": 11},
    }
    bad |= {19: {"image": pb.Image(encoded=b"no picture")}}
    with grpc.insecure_channel(running.target) as channel:
        classify = DigitServiceStub(channel).Classify
        calls = [
            classify.future(request(index, **bad.get(index % 20, {})), timeout=60)
            for index in range(200)
        ]
        codes = [one.code() for one in calls]
    refused = {7: grpc.StatusCode.NOT_FOUND}
    for index, code in enumerate(codes):
        wrong = refused.get(index % 20, grpc.StatusCode.INVALID_ARGUMENT)
        assert code == (wrong if index % 20 in bad else grpc.StatusCode.OK)


class _Caller:
    """One who waits until a moment on the clock of `time.monotonic`."""

    queued_seconds: float | None = 0.0

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline

    def is_cancelled(self) -> bool:
        return False


class _Walker:
    def __init__(self, steps: Steps[Any]) -> None:
        self._steps = steps
        self.run: Any = None
        self.outcome: Any = None

    def go_on(self) -> bool:
        try:
            self.run = next(self._steps)
        except StopIteration as end:
            self.outcome = end.value
        except Exception as error:  # noqa: BLE001 - held against what is expected
            self.outcome = error
        return self.outcome is None


def steps(predictor: Predictor, model: Model, caller: _Caller, images: Any) -> Steps[Any]:
    with predictor.attempt(model, caller) as attempt:
        return (yield from attempt.predict(images))


def test_a_passed_deadline_and_a_large_batch_share_no_run(models: Path) -> None:
    registry = CollectorRegistry()
    model, predictor = load_model(models / "mlp" / "1"), Predictor(ServerMetrics(registry))
    parts = [IMAGES[:1], IMAGES[1:2], IMAGES[2:5], IMAGES]
    walkers = [_Walker(steps(predictor, model, _Caller(), images)) for images in parts]
    late = _Walker(steps(predictor, model, _Caller(deadline=0.0), IMAGES[:1]))
    begun = [walker for walker in (*walkers, late) if walker.go_on()]
    finish(begun)
    assert isinstance(late.outcome, DeadlinePassed)
    for walker, images in zip(walkers, parts, strict=True):
        assert walker.outcome.digits.tolist() == model.predict(images).digits.tolist()
    labels = {"model": "mlp", "version": "1"}
    assert registry.get_sample_value("gurmukhi_batch_size_count", labels) == 2
    assert registry.get_sample_value("gurmukhi_batch_size_sum", labels) == 5 + len(IMAGES)
    assert registry.get_sample_value("gurmukhi_failure_duration_seconds_count", labels) == 1


def test_a_run_that_fails_fails_each_of_its_calls(models: Path) -> None:
    model = load_model(models / "mlp" / "1")
    metrics = ServerMetrics(CollectorRegistry()).model(model)
    wrong = np.zeros((1, 3, 3), np.uint8)  # what no front lets through
    first, second = (GraphRun(model, wrong, metrics) for _ in range(2))
    first.together([second])
    for run in (first, second):
        with pytest.raises(Exception, match=r"INVALID_ARGUMENT|Reshape"):
            run.outcome()


def test_one_alone_walks_to_its_answer(models: Path) -> None:
    model, predictor = (
        load_model(models / "mlp" / "1"),
        Predictor(ServerMetrics(CollectorRegistry())),
    )
    prediction = walk(steps(predictor, model, _Caller(), IMAGES[:1]))
    assert prediction.digits.tolist() == model.predict(IMAGES[:1]).digits.tolist()
