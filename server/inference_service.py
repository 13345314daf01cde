"""inference.GRPCInferenceService: the Open Inference Protocol v2, tensors in and tensors out.

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_grpc.md.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import gurmukhi
from gurmukhi.bundle import TensorSpec
from gurmukhi.errors import TensorError
from gurmukhi.image import SIDE
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.tensor import datatype_of, from_contents, from_raw, to_contents, to_raw
from server.errors import InvalidRequest, NotFound
from server.model import Model, Prediction
from server.predictor import Predictor
from server.repository import Repository
from server.service import Call, Method

SERVER_NAME: Final = "gurmukhi-serve"
_INPUT: Final = "pixels"
_DATATYPE: Final = "UINT8"


class InferenceService:
    """Answers Open Inference v2; knows no transport."""

    name: Final = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

    def __init__(
        self,
        repository: Repository,
        predictor: Predictor,
        *,
        max_batch_size: int,
        is_ready: Callable[[], bool],
    ) -> None:
        self._repository = repository
        self._predictor = predictor
        self._max_batch_size = max_batch_size
        self._is_ready = is_ready
        self.methods: Mapping[str, Method] = {
            "ServerLive": Method(pb.ServerLiveRequest, self.server_live),
            "ServerReady": Method(pb.ServerReadyRequest, self.server_ready),
            "ModelReady": Method(pb.ModelReadyRequest, self.model_ready),
            "ServerMetadata": Method(pb.ServerMetadataRequest, self.server_metadata),
            "ModelMetadata": Method(pb.ModelMetadataRequest, self.model_metadata),
            "ModelInfer": Method(pb.ModelInferRequest, self.model_infer, is_work=True),
        }

    def server_live(self, request: pb.ServerLiveRequest, call: Call) -> pb.ServerLiveResponse:
        """Say that the server runs."""
        return pb.ServerLiveResponse(live=True)

    def server_ready(self, request: pb.ServerReadyRequest, call: Call) -> pb.ServerReadyResponse:
        """Say whether every model is ready."""
        return pb.ServerReadyResponse(ready=self._is_ready())

    def model_ready(self, request: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:
        """Say whether a model, and the version where one is named, is ready."""
        try:
            self._find(request.name, request.version, "name")
        except NotFound:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self._is_ready())

    def server_metadata(
        self, request: pb.ServerMetadataRequest, call: Call
    ) -> pb.ServerMetadataResponse:
        """Name the server and its version."""
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=gurmukhi.__version__)

    def model_metadata(
        self, request: pb.ModelMetadataRequest, call: Call
    ) -> pb.ModelMetadataResponse:
        """Describe a model: its versions, tensors, sha256 and accuracy."""
        model = self._find(request.name, request.version, "name")
        manifest = model.manifest
        return pb.ModelMetadataResponse(
            name=model.name,
            versions=self._repository.versions(model.name),
            platform=manifest.platform,
            inputs=[_tensor_metadata(spec) for spec in manifest.inputs],
            outputs=[_tensor_metadata(spec) for spec in manifest.outputs],
            properties={
                "version": model.version,
                "sha256": model.sha256,
                "accuracy": f"{manifest.accuracy:.6f}",
                "data_source": manifest.data.source,
                "test_sha256": manifest.data.test_sha256,
            },
        )

    def model_infer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        """Run a model; the reply is raw where the request was, and typed where it was."""
        model = self._find(request.model_name, request.model_version, "model_name")
        names = _requested_outputs(request.outputs, model.manifest.outputs)
        started = time.perf_counter()
        pixels = self._read_pixels(request)
        prediction = self._predictor.predict(model, pixels, call, time.perf_counter() - started)
        return _respond(request, model, prediction, names)

    def _find(self, name: str, version: str, field: str) -> Model:
        if not name:  # unlike DigitService, the protocol has no default model
            raise InvalidRequest(field, "is empty; expected the name of a model")
        return self._repository.find(name, version)

    def _read_pixels(self, request: pb.ModelInferRequest) -> NDArray[np.uint8]:
        """(N, 32, 32) from the one input; raises InvalidRequest."""
        if len(request.inputs) != 1 or request.inputs[0].name != _INPUT:
            names = ", ".join(f"{tensor.name[:32]!r}" for tensor in request.inputs[:8]) or "none"
            raise InvalidRequest("inputs", f"are {names}; expected {_INPUT!r} alone")
        tensor = request.inputs[0]
        if tensor.datatype != _DATATYPE:
            raise InvalidRequest(
                "inputs[0].datatype", f"is {tensor.datatype[:16]!r}; expected {_DATATYPE}"
            )
        shape = tuple(tensor.shape)
        if shape[1:] not in ((SIDE, SIDE), (SIDE * SIDE,)):
            raise InvalidRequest(
                "inputs[0].shape",
                f"is {list(shape[:8])}; expected [N,{SIDE},{SIDE}] or [N,{SIDE * SIDE}]",
            )
        if not 1 <= shape[0] <= self._max_batch_size:
            raise InvalidRequest(
                "inputs[0].shape",
                f"is {list(shape)}; expected 1 to {self._max_batch_size} images",
            )
        return _read_tensor(request, tensor).reshape(-1, SIDE, SIDE)


def _read_tensor(
    request: pb.ModelInferRequest, tensor: pb.ModelInferRequest.InferInputTensor
) -> NDArray[Any]:
    raw = request.raw_input_contents
    try:
        if not raw:
            return from_contents(tensor.datatype, tensor.shape, tensor.contents)
        if tensor.HasField("contents"):
            raise InvalidRequest(
                "inputs[0].contents", "is given beside raw_input_contents; expected one of them"
            )
        if len(raw) != 1:
            raise InvalidRequest("raw_input_contents", f"has {len(raw)} entries for 1 input")
        return from_raw(tensor.datatype, tensor.shape, raw[0])
    except TensorError as error:
        raise InvalidRequest("raw_input_contents" if raw else "inputs[0]", str(error)) from error


def _requested_outputs(
    requested: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor],
    offered: Sequence[TensorSpec],
) -> list[str]:
    names = [spec.name for spec in offered]
    if not requested:
        return names
    wanted = [output.name for output in requested]
    for index, name in enumerate(wanted):
        if name not in names:
            raise InvalidRequest(
                f"outputs[{index}].name", f"is {name[:32]!r}; expected one of {', '.join(names)}"
            )
        if name in wanted[:index]:
            raise InvalidRequest(f"outputs[{index}].name", f"{name!r} is requested twice")
    return wanted


def _respond(
    request: pb.ModelInferRequest, model: Model, prediction: Prediction, names: Sequence[str]
) -> pb.ModelInferResponse:
    response = pb.ModelInferResponse(
        model_name=model.name, model_version=model.version, id=request.id
    )
    raw = bool(request.raw_input_contents)
    for name in names:
        array = prediction.output(name)
        output = response.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        if raw:
            response.raw_output_contents.append(to_raw(array))
        else:
            output.contents.CopyFrom(to_contents(array))
    return response


def _tensor_metadata(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.datatype, shape=spec.shape
    )
