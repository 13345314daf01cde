"""Call one address: Open Inference, DigitService and health; retry, and count every call."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from evaluator.wire import Answer, infer_request, read_answer
from gurmukhi.answer import call_error
from gurmukhi.channel import CONNECT_MILLISECONDS, dial, name_options, token_metadata
from gurmukhi.client import Classification, DigitClient, ModelVersion, Picture
from gurmukhi.credentials import PLAIN, Credentials
from gurmukhi.errors import CallError
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub

INFERENCE: Final = "inference.GRPCInferenceService"
DIGITS: Final = "gurmukhi.v1.DigitService"
HEALTH: Final = "grpc.health.v1.Health"

# A call is worth asking again only where the server did not, or could not, take it on.
_RETRYABLE: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
# Codes that say what the server has, or thinks of the request, rather than that it fails.
_LACKS: Final = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND)
_REFUSALS: Final = (
    *_LACKS,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
)
# What is said of a wrong request is an answer, also where it is the wrong thing to say.
_ANY_REFUSAL: Final = (*_REFUSALS, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
_ATTEMPTS: Final = 4
_FIRST_PAUSE_SECONDS: Final = 0.05  # doubled each time: a lost call is given up in 0.35 s
_OPTIONS: Final = (
    # Back within a retry's pause: grpc's own pause of a second would outlast them all.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", CONNECT_MILLISECONDS),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 64 << 20),
)
# A server may bound its batches; past this many images a refusal is its right.
SURE_BATCH: Final = 32
_T = TypeVar("_T")
Codes = tuple[grpc.StatusCode, ...]


class Calls:
    """Counts calls; shared by the threads of a run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = 0  # calls, however often each was tried
        self.retried = 0  # calls that were tried more than once
        self.lost = 0  # calls without an answer in the end
        self.outcomes: Counter[tuple[str, str, str]] = Counter()  # service, method, code: attempts

    def attempt(self, service: str, method: str, code: str) -> None:
        """Count one attempt by its status code."""
        with self._lock:
            self.outcomes[service, method, code] += 1

    def call(self, attempts: int, *, lost: bool) -> None:
        """Count one call."""
        with self._lock:
            self.sent += 1
            self.retried += attempts > 1
            self.lost += lost


class Target:
    """One address under test. Every call has a deadline and raises CallError when it fails."""

    def __init__(
        self, address: str, timeout_seconds: float, credentials: Credentials = PLAIN
    ) -> None:
        self.address = address
        self.timeout_seconds = timeout_seconds
        self.calls = Calls()
        self._metadata = token_metadata(credentials.token)
        options = [*_OPTIONS, *name_options(credentials.server_name)]
        self._channel = dial(address, credentials.channel, options)
        self._inference = GRPCInferenceServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        # Retries are made and counted here, not hidden in the channel.
        self._digits = DigitClient(
            address,
            timeout_seconds=timeout_seconds,
            retries=False,
            credentials=credentials.channel,
            server_name=credentials.server_name,
            token=credentials.token,
        )

    def is_live(self) -> bool:
        """ServerLive."""
        return bool(self._infer_call("ServerLive", pb.ServerLiveRequest()).live)

    def is_ready(self) -> bool:
        """ServerReady."""
        return bool(self._infer_call("ServerReady", pb.ServerReadyRequest()).ready)

    def is_model_ready(self, model: str, version: str) -> bool:
        """ModelReady."""
        request = pb.ModelReadyRequest(name=model, version=version)
        return bool(self._infer_call("ModelReady", request).ready)

    def metadata(self, model: str, version: str) -> pb.ModelMetadataResponse:
        """ModelMetadata."""
        request = pb.ModelMetadataRequest(name=model, version=version)
        reply: pb.ModelMetadataResponse = self._infer_call("ModelMetadata", request)
        return reply

    def health(self, service: str = "") -> str:
        """The health service's word on a service, such as "SERVING"."""
        request = health_pb2.HealthCheckRequest(service=service)
        reply = self._ask(HEALTH, "Check", self._health.Check, request)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))

    def infer(
        self, model: str, version: str, images: NDArray[np.uint8], *, typed: bool = False
    ) -> Answer:
        """ModelInfer on images (N, 32, 32); raises AnswerError on an answer of another form."""
        return self.infer_timed(model, version, images, typed=typed)[0]

    def infer_timed(
        self, model: str, version: str, images: NDArray[np.uint8], *, typed: bool = False
    ) -> tuple[Answer, float]:
        """As `infer`, with the seconds between request and reply, retries included."""
        request = infer_request(model, version, images, typed=typed)
        answers = _REFUSALS if len(images) > SURE_BATCH else _LACKS
        started = time.perf_counter()
        reply = self._infer_call("ModelInfer", request, answers)
        seconds = time.perf_counter() - started
        return read_answer(reply, len(images)), seconds

    def infer_refused(self, request: pb.ModelInferRequest) -> grpc.StatusCode:
        """The code that a request which must be refused gets; OK where it is not."""
        return self._refused(lambda: self._infer_call("ModelInfer", request, _ANY_REFUSAL))

    def classify(self, picture: Picture, model: str, version: str) -> Classification:
        """DigitService.Classify."""
        return self._digit_call(
            "Classify",
            lambda seconds: self._digits.classify(
                picture, model=model, version=version, timeout_seconds=seconds
            ),
        )

    def classify_batch(
        self, pictures: Sequence[Picture], model: str, version: str
    ) -> list[Classification]:
        """DigitService.ClassifyBatch."""
        return self._digit_call(
            "ClassifyBatch",
            lambda seconds: self._digits.classify_batch(
                pictures, model=model, version=version, timeout_seconds=seconds
            ),
        )

    def classify_refused(self, picture: Picture, model: str, version: str) -> grpc.StatusCode:
        """The code that a Classify which must be refused gets; OK where it is not."""
        return self._refused(
            lambda: self._digit_call(
                "Classify",
                lambda seconds: self._digits.classify(
                    picture, model=model, version=version, timeout_seconds=seconds
                ),
                _ANY_REFUSAL,
            )
        )

    def list_models(self) -> list[ModelVersion]:
        """DigitService.ListModels."""
        return self._digit_call(
            "ListModels", lambda seconds: self._digits.list_models(timeout_seconds=seconds)
        )

    def close(self) -> None:
        """Close the channels."""
        self._digits.close()
        self._channel.close()

    def _infer_call(self, method: str, request: Any, answers: Codes = _LACKS) -> Any:
        stub = getattr(self._inference, method)
        return self._ask(INFERENCE, method, stub, request, answers)

    def _ask(
        self, service: str, method: str, stub: Any, request: Any, answers: Codes = _LACKS
    ) -> Any:
        def ask(seconds: float) -> Any:
            return stub(request, timeout=seconds, metadata=self._metadata)

        return self._call(service, method, ask, answers)

    def _digit_call(self, method: str, ask: Callable[[float], _T], answers: Codes = _LACKS) -> _T:
        return self._call(DIGITS, method, ask, answers)

    def _refused(self, ask: Callable[[], Any]) -> grpc.StatusCode:
        try:
            ask()
        except CallError as error:
            return error.code
        return grpc.StatusCode.OK

    def _call(self, service: str, method: str, ask: Callable[[float], _T], answers: Codes) -> _T:
        """Ask until an answer comes, the deadline passes or asking again is no use.

        A call that ends with one of the codes in `answers` is answered, not lost.
        """
        deadline = time.monotonic() + self.timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                reply = ask(max(deadline - time.monotonic(), 0.001))
            except (grpc.RpcError, CallError) as error:
                failure = error if isinstance(error, CallError) else call_error(self.address, error)
                self.calls.attempt(service, method, failure.code.name)
                again = (
                    failure.code in _RETRYABLE
                    and attempt < _ATTEMPTS
                    and time.monotonic() + pause < deadline
                )
                if not again:
                    self.calls.call(attempt, lost=failure.code not in answers)
                    raise failure from error
                time.sleep(pause)
                pause *= 2
            else:
                self.calls.attempt(service, method, "OK")
                self.calls.call(attempt, lost=False)
                return reply
        raise AssertionError("the last attempt returns or raises")
