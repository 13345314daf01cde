"""The figures of each model version, as its metrics have them."""

import os
from typing import Final

from prometheus_client import CollectorRegistry, multiprocess

from server.model import Model
from server.triton_service import ModelFigures

_QUEUE: Final = "gurmukhi_queue_duration_seconds"
_PREPROCESS: Final = "gurmukhi_preprocess_duration_seconds"
_INFERENCE: Final = "gurmukhi_inference_duration_seconds"
_BATCH: Final = "gurmukhi_batch_size"


class MetricStatistics:
    """Reads figures from collectors: those of a registry, or of all workers where there are any."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            self._registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(self._registry)

    def of(self, model: Model) -> ModelFigures:
        """The figures of one version; a request that failed is not known by its model."""
        labels = {"model": model.name, "version": model.version}
        values = {
            sample.name: sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.labels == labels
        }
        runs = int(values.get(f"{_INFERENCE}_count", 0))
        queue, preprocess, inference = (
            values.get(f"{name}_sum", 0.0) for name in (_QUEUE, _PREPROCESS, _INFERENCE)
        )
        return ModelFigures(
            inference_count=int(values.get(f"{_BATCH}_sum", 0)),
            execution_count=runs,
            success_count=runs,
            success_seconds=queue + preprocess + inference,
            queue_seconds=queue,
            compute_input_seconds=preprocess,
            compute_infer_seconds=inference,
        )
