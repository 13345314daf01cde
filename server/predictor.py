"""Run a model for a call: drop what nobody waits for, run the graph, keep the figures."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from server.metrics import ModelMetrics, ServerMetrics
from server.model import Model, Prediction
from server.service import Call, ensure_awaited
from server.steps import Steps

# Larger batches use the graph well by themselves, and would only be copied.
_FEW_IMAGES: Final = 8


class Predictor:
    """The one way from a request to a prediction, whichever service asks."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics

    def attempt(self, model: Model, call: Call) -> "Attempt":
        """Begin to answer a request by a model."""
        return Attempt(model, call, self._metrics.model(model))


class Attempt:
    """One request to a model, timed from its images to its answer; counted once, when it ends.

    An error that leaves the block is a failure of the request, and its time that of a failure.
    """

    __slots__ = ("_call", "_metrics", "_model", "_ran", "_read", "_started")

    def __init__(self, model: Model, call: Call, metrics: ModelMetrics) -> None:
        self._model = model
        self._call = call
        self._metrics = metrics
        self._started = self._read = self._ran = time.perf_counter()

    def predict(self, pixels: NDArray[np.uint8]) -> Steps[Prediction]:
        """Run the model on (N, 32, 32) images, as a step; raises DeadlinePassed or CallerGone."""
        ensure_awaited(self._call)
        self._read = time.perf_counter()
        run = GraphRun(self._model, pixels, self._metrics)
        yield run
        self._ran = time.perf_counter()
        return run.outcome()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended, queued, metrics = time.perf_counter(), self._call.queued_seconds, self._metrics
        if error is not None:
            metrics.failure_seconds.observe(ended - self._started + (queued or 0.0))
            return
        if queued is not None:
            metrics.queue_seconds.observe(queued)
        metrics.preprocess_seconds.observe(self._read - self._started)
        metrics.postprocess_seconds.observe(ended - self._ran)
        metrics.last_inference.set(time.time())


class GraphRun:
    """A run of a graph for one call, or for several of the same model; see `server.steps`."""

    __slots__ = ("_error", "_metrics", "_model", "_pixels", "_prediction")

    def __init__(self, model: Model, pixels: NDArray[np.uint8], metrics: ModelMetrics) -> None:
        self._model = model
        self._pixels = pixels
        self._metrics = metrics
        self._prediction: Prediction | None = None
        self._error: Exception | None = None

    @property
    def key(self) -> Model | None:
        return self._model if len(self._pixels) <= _FEW_IMAGES else None

    def together(self, others: "Sequence[GraphRun]") -> None:
        runs = (self, *others)
        started = time.perf_counter()
        try:
            pixels = np.concatenate([run._pixels for run in runs]) if others else self._pixels
            prediction = self._model.predict(pixels)
        except Exception as error:  # noqa: BLE001 - raised where the outcome is asked for
            for run in runs:
                run._error = error
            return
        self._metrics.observe(prediction, time.perf_counter() - started)
        if not others:
            self._prediction = prediction
            return
        start = 0
        for run in runs:
            end = start + len(run._pixels)
            run._prediction = prediction.part(start, end)
            start = end

    def outcome(self) -> Prediction:
        if self._prediction is None:
            raise self._error or AssertionError("not run yet")
        return self._prediction
