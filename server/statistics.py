"""The figures of each model version, as its metrics have them."""

import os
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, multiprocess

from server.model import Model
from server.triton_service import ModelFigures

_QUEUE: Final = "gurmukhi_queue_duration_seconds"
_PREPROCESS: Final = "gurmukhi_preprocess_duration_seconds"
_INFERENCE: Final = "gurmukhi_inference_duration_seconds"
_POSTPROCESS: Final = "gurmukhi_postprocess_duration_seconds"
_FAILURE: Final = "gurmukhi_failure_duration_seconds"
_BATCH: Final = "gurmukhi_batch_size"
_LAST: Final = "gurmukhi_last_inference_timestamp_seconds"


class MetricStatistics:
    """Reads figures from collectors: those of a registry, or of all workers where there are any."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            self._registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(self._registry)

    def of(self, models: Sequence[Model]) -> list[ModelFigures]:
        """The figures of some versions, in their order."""
        values: dict[tuple[str, str], dict[str, float]] = {
            (model.name, model.version): {} for model in models
        }
        for family in self._registry.collect():
            for sample in family.samples:
                if sample.labels.keys() == {"model", "version"}:
                    key = sample.labels["model"], sample.labels["version"]
                    values.setdefault(key, {})[sample.name] = sample.value
        return [_figures(values[model.name, model.version]) for model in models]


def _figures(values: dict[str, float]) -> ModelFigures:
    def count(name: str) -> int:
        return int(values.get(f"{name}_count", 0))

    def seconds(name: str) -> float:
        return values.get(f"{name}_sum", 0.0)

    parts = (_QUEUE, _PREPROCESS, _INFERENCE, _POSTPROCESS)
    return ModelFigures(
        inference_count=int(values.get(f"{_BATCH}_sum", 0)),
        execution_count=count(_INFERENCE),
        success_count=count(_POSTPROCESS),
        success_seconds=sum(map(seconds, parts)),
        fail_count=count(_FAILURE),
        fail_seconds=seconds(_FAILURE),
        queue_count=count(_QUEUE),
        queue_seconds=seconds(_QUEUE),
        compute_input_seconds=seconds(_PREPROCESS),
        compute_infer_seconds=seconds(_INFERENCE),
        compute_output_seconds=seconds(_POSTPROCESS),
        last_inference_ms=round(values.get(_LAST, 0.0) * 1000),
    )
