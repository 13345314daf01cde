"""Run a model for a call: drop what nobody waits for, run the graph, keep the figures."""

import time

import numpy as np
from numpy.typing import NDArray

from server.metrics import ServerMetrics
from server.model import Model, Prediction
from server.service import Call, ensure_awaited


class Predictor:
    """The one way from pixels to a prediction, whichever service asks."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics

    def predict(
        self, model: Model, pixels: NDArray[np.uint8], call: Call, preprocess_seconds: float
    ) -> Prediction:
        """Run a model on (N, 32, 32) images; raises DeadlinePassed or CallerGone."""
        metrics = self._metrics.model(model)
        metrics.queue_seconds.observe(call.queued_seconds)
        metrics.preprocess_seconds.observe(preprocess_seconds)
        ensure_awaited(call)
        started = time.perf_counter()
        prediction = model.predict(pixels)
        metrics.observe(prediction, time.perf_counter() - started)
        return prediction
