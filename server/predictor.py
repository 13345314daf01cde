"""Run a model for a call: drop what nobody waits for, run the graph, keep the figures."""

import time

import numpy as np
from numpy.typing import NDArray

from server.errors import CallerGone, DeadlinePassed
from server.metrics import ModelMetrics, ServerMetrics
from server.model import Model, Prediction
from server.repository import Repository
from server.service import Call, ensure_awaited


class Predictor:
    """The one way from pixels to a prediction, whichever service asks."""

    def __init__(self, repository: Repository, metrics: ServerMetrics) -> None:
        self._metrics = metrics
        self._of_model: dict[str, ModelMetrics] = metrics.bind(repository)

    def predict(
        self, model: Model, pixels: NDArray[np.uint8], call: Call, preprocess_seconds: float
    ) -> Prediction:
        """Run a model on (N, 32, 32) images; raises DeadlinePassed or CallerGone."""
        metrics = self._of_model[model.sha256]
        metrics.queue_seconds.observe(call.queued_seconds)
        metrics.preprocess_seconds.observe(preprocess_seconds)
        try:
            ensure_awaited(call)
        except DeadlinePassed:
            self._metrics.rejected("deadline").inc()
            raise
        except CallerGone:
            self._metrics.rejected("cancelled").inc()
            raise
        started = time.perf_counter()
        prediction = model.predict(pixels)
        metrics.observe(prediction, time.perf_counter() - started)
        return prediction
