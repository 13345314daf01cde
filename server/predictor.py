"""Run a model for a call: drop what nobody waits for, run the graph, keep the figures."""

import time
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from server.metrics import ModelMetrics, ServerMetrics
from server.model import Model, Prediction
from server.service import Call, ensure_awaited


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

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Run the model on (N, 32, 32) images; raises DeadlinePassed or CallerGone."""
        ensure_awaited(self._call)
        self._read = time.perf_counter()
        prediction = self._model.predict(pixels)
        self._ran = time.perf_counter()
        self._metrics.observe(prediction, self._ran - self._read)
        return prediction

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
