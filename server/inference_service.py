"""inference.GRPCInferenceService: the Open Inference Protocol v2, tensors in and tensors out.

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_grpc.md.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

import gurmukhi
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.manifest import TensorSpec
from server.errors import InvalidRequest, NotFound
from server.inference_input import ALSO_ACCEPTED, pixels_of, put_pixels, read_images, takes_long
from server.inference_output import RawWriter, respond, wanted_outputs
from server.inference_parameters import FINAL_MARK, obey_parameters, wants_final_mark
from server.model import Model
from server.predictor import Predictor
from server.prepared_requests import Prepared, PreparedRequests
from server.repository import Repository
from server.service import AnyMethod, Call, Method, StreamMethod
from server.steps import Steps, walk
from server.triton_service import TritonService

SERVER_NAME: Final = "gurmukhi-serve"
# Triton's names for what a request may ask for; TritonService adds its own.
_EXTENSIONS: Final = ("classification", "parameters")


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
        triton: TritonService,
    ) -> None:
        self._repository = repository
        self._predictor = predictor
        self._max_batch_size = max_batch_size
        self._is_ready = is_ready
        self._extensions = (*_EXTENSIONS, *triton.extensions)
        prepared = PreparedRequests(
            pb.ModelInferRequest, partial(pixels_of, max_images=max_batch_size), put_pixels, _Asked
        )
        self.methods: Mapping[str, AnyMethod] = {
            "ServerLive": Method(pb.ServerLiveRequest, self.server_live),
            "ServerReady": Method(pb.ServerReadyRequest, self.server_ready),
            "ModelReady": Method(pb.ModelReadyRequest, self.model_ready),
            "ServerMetadata": Method(pb.ServerMetadataRequest, self.server_metadata),
            "ModelMetadata": Method(pb.ModelMetadataRequest, self.model_metadata),
            "ModelInfer": Method(
                pb.ModelInferRequest,
                self.model_infer,
                is_work=True,
                is_brief=_has_numbers,
                steps=self.infer_in_steps,
                parse=prepared.parse,
            ),
            "ModelStreamInfer": StreamMethod(pb.ModelInferRequest, self.model_stream_infer),
            **triton.methods,
        }

    def server_live(self, request: pb.ServerLiveRequest, call: Call) -> pb.ServerLiveResponse:
        """Say that the server runs."""
        return pb.ServerLiveResponse(live=True)

    def server_ready(self, request: pb.ServerReadyRequest, call: Call) -> pb.ServerReadyResponse:
        """Say whether the server answers, and has a model to answer by."""
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
        """Name the server, its version and the extensions that it offers."""
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=gurmukhi.__version__, extensions=self._extensions
        )

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
                "also_accepted": ALSO_ACCEPTED,
            },
        )

    def model_infer(
        self, request: pb.ModelInferRequest | Prepared, call: Call
    ) -> pb.ModelInferResponse | bytes:
        """Run a model; the reply is raw where the request was, and typed where it was."""
        return walk(self.infer_in_steps(request, call))

    def infer_in_steps(
        self, request: pb.ModelInferRequest | Prepared, call: Call
    ) -> Steps[pb.ModelInferResponse | bytes]:
        """As model_infer, in steps."""
        if isinstance(request, Prepared):
            return self._infer_prepared(*request, call)
        return self._infer(request, call)

    def _infer(self, request: pb.ModelInferRequest, call: Call) -> Steps[pb.ModelInferResponse]:
        model = self._find(request.model_name, request.model_version, "model_name")
        with self._predictor.attempt(model, call) as attempt:
            if request.parameters:
                obey_parameters(request, call)
            wanted = wanted_outputs(request, model)
            if takes_long(request):
                yield None
            images = read_images(request, call, self._max_batch_size)
            prediction = yield from attempt.predict(images.pixels)
            return respond(request, model, prediction, wanted, images.warnings)

    def _infer_prepared(
        self, asked: "_Asked", pixels: NDArray[np.uint8], call: Call
    ) -> Steps[bytes]:
        model = self._find(asked.model_name, asked.model_version, "model_name")
        kind = (model.version, model.sha256, model.output_names)  # it may be another by now
        with self._predictor.attempt(model, call) as attempt:
            writer = asked.writers.get(kind)
            if writer is None:
                wanted = wanted_outputs(asked.request, model)
            prediction = yield from attempt.predict(pixels)
            if writer is None:
                writer = asked.writers[kind] = RawWriter(model, wanted, prediction)
            return writer.write(prediction)

    def model_stream_infer(
        self, requests: Iterator[pb.ModelInferRequest], call: Call
    ) -> Iterator[pb.ModelStreamInferResponse]:
        """Run models one request after the other; the stream goes on after one that is refused."""
        for request in requests:
            try:
                response = walk(self._infer(request, call))
            except (InvalidRequest, NotFound) as error:
                yield pb.ModelStreamInferResponse(
                    error_message=str(error), infer_response=pb.ModelInferResponse(id=request.id)
                )
                continue
            if wants_final_mark(request):
                response.parameters[FINAL_MARK].bool_param = True
            yield pb.ModelStreamInferResponse(infer_response=response)

    def _find(self, name: str, version: str, field: str) -> Model:
        if not name:  # unlike DigitService, the protocol has no default model
            raise InvalidRequest(field, "is empty; expected the name of a model")
        return self._repository.find(name, version)


class _Asked:
    """What a prepared request asks, and what writes the answer of each version to it."""

    def __init__(self, request: pb.ModelInferRequest) -> None:
        self.request = request
        self.model_name, self.model_version = request.model_name, request.model_version
        self.writers: dict[tuple[str, str, tuple[str, ...]], RawWriter] = {}


def _has_numbers(request: pb.ModelInferRequest | Prepared) -> bool:
    """Whether no tensor holds pictures, which are to be decoded."""
    if isinstance(request, Prepared):
        return True
    return "BYTES" not in [tensor.datatype for tensor in request.inputs]


def _tensor_metadata(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.datatype, shape=spec.shape
    )
