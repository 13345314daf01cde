"""A small right server over a real channel, and bundles for it; tests make it wrong on purpose.

The model is nearest mean: a digit is the class whose mean synthetic image is closest.
"""

import functools
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from gurmukhi import bundle as bundles
from gurmukhi import image as picture
from gurmukhi import manifest as manifests
from gurmukhi.dataset import Split
from gurmukhi.errors import ImageError, TensorError
from gurmukhi.evaluation import Evaluation
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference import open_inference_grpc_pb2_grpc as pb_grpc
from gurmukhi.labels import GLYPHS
from gurmukhi.metrics import accuracy
from gurmukhi.sources import SyntheticSource
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.tensor import from_contents, from_raw, to_contents, to_raw
from gurmukhi.v1 import digits_pb2, digits_pb2_grpc

IMAGES = 40
DATA = f"synthetic:{IMAGES}"
TOLERANCE = 1e-4
MODEL_FILE = b"stands for a graph; nobody here opens it"
MODEL_SHA256 = hashlib.sha256(MODEL_FILE).hexdigest()
MAX_BATCH = 256

if TYPE_CHECKING:
    Interceptor = grpc.ServerInterceptor[Any, Any]
else:
    Interceptor = grpc.ServerInterceptor

Answers = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]
"""Digits (N,), scores (N, 10) and probabilities (N, 10)."""


@functools.cache
def the_split() -> Split:
    """The test images that DATA names."""
    return SyntheticSource(IMAGES).split("test")


@functools.cache
def _means() -> NDArray[np.float64]:
    images, labels = synthetic_digits(400, seed=5)
    flat = images.reshape(len(images), -1) / 255.0
    return np.stack([flat[labels == digit].mean(axis=0) for digit in range(10)])  # (10, 1024)


def nearest_mean(images: NDArray[np.uint8]) -> Answers:
    """Classify images (N, 32, 32)."""
    flat = images.reshape(len(images), -1) / 255.0
    scores = np.stack([-((flat - mean) ** 2).mean(axis=1) for mean in _means()], axis=1)
    shares = np.exp(scores * 20)
    shares /= shares.sum(axis=1, keepdims=True)
    return (
        scores.argmax(axis=1).astype(np.int64),
        scores.astype(np.float32),
        shares.astype(np.float32),
    )


def write_bundle(repository: Path, name: str = "mean", version: int = 1) -> Path:
    """Publish a bundle of the nearest-mean model and return its folder."""
    split = the_split()
    digits, scores, _ = nearest_mean(split.images)
    evaluation = Evaluation(name, version, split.sha256, split.names, split.labels, digits, scores)
    with bundles.publishing(repository, name, version) as folder:
        (folder / manifests.MODEL).write_bytes(MODEL_FILE)
        (folder / manifests.EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
        np.savez(folder / manifests.GOLDEN, images=split.images, digits=digits, scores=scores)
        (folder / manifests.CARD).write_text(f"# {name}\n", encoding="utf-8")
        write_manifest(folder, name, version)
    return repository / name / str(version)


def write_manifest(folder: Path, name: str = "mean", version: int = 1) -> None:
    """Write the manifest that goes with the files as they are now."""
    split = the_split()
    manifest = manifests.Manifest(
        name=name,
        version=version,
        inputs=(manifests.TensorSpec("pixels", "UINT8", (-1, 32, 32)),),
        outputs=(manifests.TensorSpec("digit", "INT64", (-1,)),),
        labels=GLYPHS,
        data=manifests.DataOrigin("synthetic", split.sha256, IMAGES, split.sha256, IMAGES),
        seed=0,
        hyperparameters={},
        selection={},
        libraries={},
        opset=21,
        parity={},
        accuracy=accuracy(split.labels, nearest_mean(split.images)[0]),
        score_tolerance=TOLERANCE,
    )
    bundles.write_manifest(folder, manifest)


class RightServer(
    pb_grpc.GRPCInferenceServiceServicer,
    digits_pb2_grpc.DigitServiceServicer,
):
    """Serves the nearest-mean model under given names as it should; subclasses do not."""

    def __init__(self, models: Sequence[tuple[str, str]] = (("mean", "1"),)) -> None:
        self.models = list(models)
        self.health = health.HealthServicer()
        services = ("", "inference.GRPCInferenceService", "gurmukhi.v1.DigitService")
        for service in (*services, *(f"model/{name}" for name, _ in models)):
            self.health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def answer(self, images: NDArray[np.uint8]) -> Answers:
        """What the model says of images (N, 32, 32)."""
        return nearest_mean(images)

    def sha256(self) -> str:
        """What the server says of its model file."""
        return MODEL_SHA256

    def before(self, method: str, context: Any) -> None:
        """Run ahead of each call that asks for digits."""

    def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC names the calls
        return pb.ServerLiveResponse(live=True)

    def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ServerReadyResponse(ready=True)

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._find(request.name, request.version, context)
        return pb.ModelReadyResponse(ready=True)

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        name, version = self._find(request.name, request.version, context)
        return pb.ModelMetadataResponse(
            name=name, versions=[version], properties={"sha256": self.sha256()}
        )

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.before("ModelInfer", context)
        name, version = self._find(request.model_name, request.model_version, context)
        images = self._images(request, context)
        digits, scores, probabilities = self.answer(images)
        reply = pb.ModelInferResponse(model_name=name, model_version=version, id=request.id)
        outputs: Mapping[str, tuple[str, NDArray[Any]]] = {
            "digit": ("INT64", digits),
            "scores": ("FP32", scores),
            "probabilities": ("FP32", probabilities),
        }
        for wanted in [one.name for one in request.outputs] or list(outputs):
            if wanted not in outputs:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no output {wanted!r}")
            datatype, array = outputs[wanted]
            tensor = reply.outputs.add(name=wanted, datatype=datatype, shape=array.shape)
            if request.raw_input_contents:
                reply.raw_output_contents.append(to_raw(array))
            else:
                tensor.contents.CopyFrom(to_contents(array))
        return reply

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.before("Classify", context)
        model = self._model(request, context)
        (one,) = self._classify([request.image], context)
        return digits_pb2.ClassifyResponse(classification=one, model=model)

    def ClassifyBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.before("ClassifyBatch", context)
        model = self._model(request, context)
        answers = self._classify(request.images, context)
        return digits_pb2.ClassifyBatchResponse(classifications=answers, model=model)

    def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        return digits_pb2.ListModelsResponse(
            models=[
                digits_pb2.ModelVersion(name=name, version=version, sha256=self.sha256())
                for name, version in self.models
            ]
        )

    def _find(self, name: str, version: str, context: Any) -> tuple[str, str]:
        for served in reversed(self.models):
            if name == served[0] and version in ("", served[1]):
                return served
        context.abort(grpc.StatusCode.NOT_FOUND, f"no model {name!r} {version!r}")
        raise AssertionError("abort raises")

    def _images(self, request: Any, context: Any) -> NDArray[np.uint8]:
        try:
            return read_images(request)
        except (ValueError, TensorError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise

    def _model(self, request: Any, context: Any) -> digits_pb2.ModelVersion:
        name, version = self._find(request.model or self.models[0][0], request.version, context)
        return digits_pb2.ModelVersion(name=name, version=version, sha256=self.sha256())

    def decode(self, image: Any, context: Any) -> NDArray[np.uint8]:
        """The pixels (32, 32) of a message."""
        if image.HasField("encoded"):
            try:
                return picture.decode(image.encoded).pixels
            except ImageError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if len(image.pixels) != 1024:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "pixels: expected 1024 bytes")
        return np.frombuffer(image.pixels, np.uint8).reshape(32, 32)

    def _classify(self, images: Any, context: Any) -> list[digits_pb2.Classification]:
        pixels = np.stack([self.decode(image, context) for image in images])
        return [
            digits_pb2.Classification(
                digit=int(digit), glyph=GLYPHS[digit], probabilities=shares, scores=scores
            )
            for digit, scores, shares in zip(*self.answer(pixels), strict=True)
        ]


def read_images(request: Any) -> NDArray[np.uint8]:
    """The images of a ModelInfer; raises ValueError or TensorError."""
    (tensor,) = request.inputs
    if (tensor.name, tensor.datatype) != ("pixels", "UINT8"):
        raise ValueError(f"unexpected input {tensor.name!r} {tensor.datatype}")
    if list(tensor.shape[1:]) != [32, 32] or not 0 < tensor.shape[0] <= MAX_BATCH:
        raise ValueError(f"unexpected shape {list(tensor.shape)}")
    if request.raw_input_contents:
        (raw,) = request.raw_input_contents
        return from_raw(tensor.datatype, tensor.shape, raw)
    return from_contents(tensor.datatype, tensor.shape, tensor.contents)


@contextmanager
def serving(servicer: RightServer, *interceptors: Interceptor) -> Iterator[str]:
    """Serve on a free port for the length of a block; gives the address."""
    server = grpc.server(ThreadPoolExecutor(16), interceptors=list(interceptors))
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    digits_pb2_grpc.add_DigitServiceServicer_to_server(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(servicer.health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


class Counting(Interceptor):
    """Counts calls by service, method and code; on demand without those that are aborted."""

    def __init__(self, *, aborts: bool = True) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.aborts = aborts
        self.lock = threading.Lock()

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler  # the client's watch of health
        _, service, method = handler_call_details.method.split("/")

        def counted(request: Any, context: Any) -> Any:
            code = "OK"
            try:
                return handler.unary_unary(request, context)
            except Exception:
                code = context.code().name
                raise
            finally:
                if code == "OK" or self.aborts:
                    with self.lock:
                        self.counts[service, method, code] += 1

        return grpc.unary_unary_rpc_method_handler(
            counted, handler.request_deserializer, handler.response_serializer
        )

    def head(self) -> str:
        """What the page begins with."""
        return "# TYPE grpc_server_handled_total counter\n"

    def page(self) -> str:
        """The counters as a Prometheus page."""
        with self.lock:
            return "".join(
                f'grpc_server_handled_total{{grpc_type="unary",grpc_service="{service}",'
                f'grpc_method="{method}",grpc_code="{code}"}} {count}.0\n'
                for (service, method, code), count in self.counts.items()
            )


@contextmanager
def publishing_metrics(counting: Counting) -> Iterator[str]:
    """Serve a counter's page over HTTP for the length of a block; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write((counting.head() + counting.page()).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()
