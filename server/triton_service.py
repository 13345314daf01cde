"""Triton's extensions of the Open Inference Protocol: configuration, statistics, repository.

Source: Triton's docs/protocol/extension_{model_configuration,statistics,model_repository}.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.manifest import MODEL, TensorSpec
from server.control import Control
from server.errors import InvalidRequest, Unsupported
from server.model import Model
from server.repository import Repository
from server.service import Call, Method

READY: Final = "READY"
# What Triton calls the runtime of an ONNX model.
_PLATFORM: Final = "onnxruntime_onnx"
_BACKEND: Final = "onnxruntime"


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What a version has done since the server began; seconds are of all calls together."""

    inference_count: int = 0  # images
    execution_count: int = 0  # runs of the graph
    success_count: int = 0
    success_seconds: float = 0.0
    fail_count: int = 0
    fail_seconds: float = 0.0
    queue_count: int = 0  # a stream's requests wait in none
    queue_seconds: float = 0.0
    compute_input_seconds: float = 0.0
    compute_infer_seconds: float = 0.0
    compute_output_seconds: float = 0.0
    last_inference_ms: int = 0  # since 1970


class Statistics(Protocol):
    """The figures of the versions that are served."""

    def of(self, models: Sequence[Model]) -> Sequence[ModelFigures]:
        """The figures of some versions, in their order."""
        ...


class TritonService:
    """Answers Triton's extensions; knows no transport."""

    extensions: Final = ("model_configuration", "model_repository", "statistics")

    def __init__(
        self,
        repository: Repository,
        control: Control,
        statistics: Statistics,
        *,
        max_batch_size: int,
        instances: int,
    ) -> None:
        self._repository = repository
        self._control = control
        self._statistics = statistics
        self._max_batch_size = max_batch_size
        self._instances = instances
        self.methods: Mapping[str, Method] = {
            "ModelConfig": Method(pb.ModelConfigRequest, self.model_config),
            "ModelStatistics": Method(pb.ModelStatisticsRequest, self.model_statistics),
            # These wait while a model is loaded, for seconds: not where probes are answered.
            "RepositoryIndex": Method(
                pb.RepositoryIndexRequest, self.repository_index, is_work=True
            ),
            "RepositoryModelLoad": Method(pb.RepositoryModelLoadRequest, self.load, is_work=True),
            "RepositoryModelUnload": Method(
                pb.RepositoryModelUnloadRequest, self.unload, is_work=True
            ),
        }

    def model_config(self, request: pb.ModelConfigRequest, call: Call) -> pb.ModelConfigResponse:
        """Describe how a model is served, in the terms of config.pbtxt."""
        if not request.name:
            raise InvalidRequest("name", "is empty; expected the name of a model")
        model = self._repository.find(request.name, request.version)
        versions = self._repository.versions(model.name)
        return pb.ModelConfigResponse(
            config=pb.ModelConfig(
                name=model.name,
                platform=_PLATFORM,
                backend=_BACKEND,
                version_policy=pb.ModelVersionPolicy(
                    specific=pb.ModelVersionPolicy.Specific(versions=map(int, versions))
                ),
                max_batch_size=self._max_batch_size,
                input=[_tensor(pb.ModelInput, spec) for spec in model.manifest.inputs],
                output=[_tensor(pb.ModelOutput, spec) for spec in model.manifest.outputs],
                instance_group=[
                    pb.ModelInstanceGroup(
                        name=model.name,
                        count=self._instances,
                        kind=pb.ModelInstanceGroup.KIND_CPU,
                    )
                ],
                default_model_filename=MODEL,
                parameters={"sha256": pb.ModelParameter(string_value=model.sha256)},
                model_transaction_policy=pb.ModelTransactionPolicy(decoupled=False),
            )
        )

    def model_statistics(
        self, request: pb.ModelStatisticsRequest, call: Call
    ) -> pb.ModelStatisticsResponse:
        """Give the figures of one version, of a model's versions, or of all."""
        models = self._chosen(request.name, request.version)
        return pb.ModelStatisticsResponse(
            model_stats=list(map(_statistics, models, self._statistics.of(models)))
        )

    def repository_index(
        self, request: pb.RepositoryIndexRequest, call: Call
    ) -> pb.RepositoryIndexResponse:
        """List the versions in the repository with the state of each."""
        _expect_no_repository(request.repository_name)
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(
                    name=entry.name, version=entry.version, state=entry.state, reason=entry.reason
                )
                for entry in self._control.index()
                if entry.state == READY or not request.ready
            ]
        )

    def load(
        self, request: pb.RepositoryModelLoadRequest, call: Call
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, or load it again."""
        _change(request, self._control.load)
        return pb.RepositoryModelLoadResponse()

    def unload(
        self, request: pb.RepositoryModelUnloadRequest, call: Call
    ) -> pb.RepositoryModelUnloadResponse:
        """Serve a model no longer."""
        _change(request, self._control.unload)
        return pb.RepositoryModelUnloadResponse()

    def _chosen(self, name: str, version: str) -> Sequence[Model]:
        if version and not name:
            raise InvalidRequest("name", f"is empty, but version is {version[:16]!r}")
        if version:
            return [self._repository.find(name, version)]
        if name:
            self._repository.find(name)  # or NotFound
        return [model for model in self._repository if name in ("", model.name)]


def _change(
    request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
    change: Callable[[str], None],
) -> None:
    _expect_no_repository(request.repository_name)
    if not request.model_name:
        raise InvalidRequest("model_name", "is empty; expected the name of a model")
    for name in request.parameters:
        if name != "unload_dependents":  # no model here depends on another
            raise InvalidRequest(
                f"parameters[{name[:64]}]", "is not offered: a model is what its bundle says"
            )
    change(request.model_name)


def _expect_no_repository(name: str) -> None:
    if name:
        raise Unsupported(f"repository_name is {name[:64]!r}; there is one repository, unnamed")


def _tensor(kind: Any, spec: TensorSpec) -> Any:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    # The first dimension is the batch, which max_batch_size stands for.
    return kind(
        name=spec.name,
        data_type=pb.DataType.Value(f"TYPE_{datatype}"),
        dims=spec.shape[1:],
    )


def _statistics(model: Model, figures: ModelFigures) -> pb.ModelStatistics:
    count = figures.success_count
    return pb.ModelStatistics(
        name=model.name,
        version=model.version,
        last_inference=figures.last_inference_ms,
        inference_count=figures.inference_count,
        execution_count=figures.execution_count,
        inference_stats=pb.InferStatistics(
            success=_duration(count, figures.success_seconds),
            fail=_duration(figures.fail_count, figures.fail_seconds),
            queue=_duration(figures.queue_count, figures.queue_seconds),
            compute_input=_duration(count, figures.compute_input_seconds),
            compute_infer=_duration(figures.execution_count, figures.compute_infer_seconds),
            compute_output=_duration(count, figures.compute_output_seconds),
        ),
    )


def _duration(count: int, seconds: float) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=round(seconds * 1e9))
