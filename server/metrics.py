"""The Prometheus metrics of the server, on a registry that is passed in."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge

from gurmukhi.labels import CLASS_COUNT
from server.distribution import Distribution
from server.model import Model, Prediction

# From 10 µs, as gRPC's own latency views begin (gRFC A66), with steps where answers of a small
# model fall: 50 µs to 5 ms.
_SECONDS: Final = (
    *(1e-5, 2.5e-5, 5e-5, 1e-4, 1.5e-4, 2e-4, 3e-4, 4e-4, 6e-4, 8e-4),
    *(1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_CONFIDENCES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
_MODEL: Final = ("model", "version")
_METHOD: Final = ("grpc_type", "grpc_service", "grpc_method")


def _number_of(collector: Counter | Gauge) -> Any:
    """What a collector with its labels bound keeps its number in.

    Its own `inc` first looks whether there are labels to bind, and at the sign, at each call.
    """
    return collector._value


class MethodMetrics:
    """The collectors of one method with their labels bound."""

    def __init__(
        self, metrics: "ServerMetrics", labels: tuple[str, str, str], inflight: Gauge | None
    ) -> None:
        self._started = _number_of(metrics.started.labels(*labels))
        self._handling = metrics.handling.labels(*labels)
        self._inflight = None if inflight is None else _number_of(inflight)
        self._handled = cache(lambda code: _number_of(metrics.handled.labels(*labels, code)))
        self._handled("OK")  # shown as 0 before the first call

    def arrive(self) -> None:
        """Count a call that reached the server."""
        self._started.inc(1)
        if self._inflight is not None:
            self._inflight.inc(1)

    def count(self, code: str, seconds: float) -> None:
        """Count a call's end, once for each that arrived."""
        if self._inflight is not None:
            self._inflight.inc(-1)
        self._handled(code).inc(1)
        self._handling.observe(seconds)


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """The collectors of one version with their labels bound, so that a request looks up none."""

    queue_seconds: Any
    preprocess_seconds: Any
    inference_seconds: Any
    postprocess_seconds: Any
    failure_seconds: Any
    last_inference: Any
    batch_size: Any
    confidence: Any
    predictions: tuple[Any, ...]  # (10,) by digit

    def observe(self, prediction: Prediction, seconds: float) -> None:
        """Count one run of the graph."""
        self.inference_seconds.observe(seconds)
        self.batch_size.observe(len(prediction.digits))
        if len(prediction.digits) == 1:  # most requests, and faster without NumPy
            self.predictions[prediction.digits.item()].inc(1)
            if prediction.probabilities is not None:
                self.confidence.observe(max(prediction.probabilities[0].tolist()))
            return
        for digit, count in enumerate(np.bincount(prediction.digits).tolist()):
            if count:
                self.predictions[digit].inc(count)
        if prediction.probabilities is not None:
            self.confidence.observe_all(prediction.probabilities.max(axis=1))


class ServerMetrics:
    """All collectors of one server. No label ever holds what a client sent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.started = Counter(
            "grpc_server_started",
            "Calls that reached the server.",
            _METHOD,
            registry=registry,
        )
        self.handled = Counter(
            "grpc_server_handled",
            "Calls that ended, by status code; each call once.",
            (*_METHOD, "grpc_code"),
            registry=registry,
        )
        self.handling = Distribution(
            "grpc_server_handling_seconds",
            "From the arrival of a call to its end.",
            _METHOD,
            buckets=_SECONDS,
            registry=registry,
        )
        self.inflight = Gauge(
            "gurmukhi_inflight_requests",
            "Calls that arrived and have not ended.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._rejected = Counter(
            "gurmukhi_rejected",
            "Calls dropped before their work was begun.",
            ("reason",),
            registry=registry,
        )
        self._queue = self._per_model(
            "queue_duration_seconds", "Waiting for a thread, of unary calls.", _SECONDS, registry
        )
        self._preprocess = self._per_model(
            "preprocess_duration_seconds",
            "From a request's images to pixels.",
            _SECONDS,
            registry,
        )
        self._inference = self._per_model(
            "inference_duration_seconds", "One run of the graph.", _SECONDS, registry
        )
        self._postprocess = self._per_model(
            "postprocess_duration_seconds",
            "From a graph's outputs to a response.",
            _SECONDS,
            registry,
        )
        self._failure = self._per_model(
            "failure_duration_seconds",
            "Requests that found the version and got no answer, to their end.",
            _SECONDS,
            registry,
        )
        self._last_inference = Gauge(
            "gurmukhi_last_inference_timestamp_seconds",
            "When the version answered last, in seconds since 1970; 0 for never.",
            _MODEL,
            registry=registry,
            multiprocess_mode="max",
        )
        self._batch_size = self._per_model(
            "batch_size", "Images in one run of the graph.", _BATCHES, registry
        )
        self._confidence = self._per_model(
            "confidence", "Highest probability of an image.", _CONFIDENCES, registry
        )
        self._predictions = Counter(
            "gurmukhi_predictions",
            "Images by the digit that was read.",
            (*_MODEL, "digit"),
            registry=registry,
        )
        self._info = Gauge(
            "gurmukhi_model_info",
            "1 for each version that is served, 0 for one that was.",
            (*_MODEL, "sha256"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._of_model: dict[tuple[str, str], ModelMetrics] = {}
        self._announced: set[tuple[str, str, str]] = set()
        self.rejected = cache(self._rejected.labels)  # its labels are few and fixed
        for reason in ("queue_full", "streams_full", "deadline", "cancelled"):
            self.rejected(reason)

    def method(self, kind: str, service: str, name: str, *, is_watch: bool) -> MethodMetrics:
        """The collectors of one method; those who only watch are not in flight."""
        return MethodMetrics(self, (kind, service, name), None if is_watch else self.inflight)

    def model(self, model: Model) -> ModelMetrics:
        """The collectors of one version."""
        key = (model.name, model.version)
        if key not in self._of_model:
            self._of_model[key] = ModelMetrics(
                queue_seconds=self._queue.labels(*key),
                preprocess_seconds=self._preprocess.labels(*key),
                inference_seconds=self._inference.labels(*key),
                postprocess_seconds=self._postprocess.labels(*key),
                failure_seconds=self._failure.labels(*key),
                last_inference=_number_of(self._last_inference.labels(*key)),
                batch_size=self._batch_size.labels(*key),
                confidence=self._confidence.labels(*key),
                predictions=tuple(
                    _number_of(self._predictions.labels(*key, d)) for d in range(CLASS_COUNT)
                ),
            )
        return self._of_model[key]

    def announce(self, models: Collection[Model]) -> None:
        """Say in `gurmukhi_model_info` which versions are served: 1 those, 0 earlier ones."""
        served = {(model.name, model.version, model.sha256) for model in models}
        for labels in self._announced | served:
            self._info.labels(*labels).set(labels in served)
        self._announced |= served
        for model in models:
            self.model(model)

    @staticmethod
    def _per_model(
        name: str, text: str, buckets: Iterable[float], registry: CollectorRegistry
    ) -> Distribution:
        return Distribution(
            f"gurmukhi_{name}", text, _MODEL, buckets=tuple(buckets), registry=registry
        )
