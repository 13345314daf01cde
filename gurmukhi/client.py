"""Clients of the digit service, synchronous and for asyncio.

::

    with DigitClient("localhost:8001") as client:
        answer = client.classify(Path("digit.png").read_bytes())
        print(answer.glyph, answer.confidence)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import CallError, ImageError
from gurmukhi.image import SIDE
from gurmukhi.v1 import digits_pb2 as pb
from gurmukhi.v1.digits_pb2_grpc import DigitServiceStub

Picture: TypeAlias = bytes | NDArray[np.uint8]
"""An encoded file, or uint8 (32, 32) pixels with 0 ink and 255 paper."""

DEFAULT_TARGET: Final = "localhost:8001"
DEFAULT_TIMEOUT_SECONDS: Final = 5.0

_WARNINGS: Final = {
    pb.WARNING_INVERTED: "inverted",
    pb.WARNING_SEVERAL_GLYPHS: "several glyphs",
    pb.WARNING_LOW_CONFIDENCE: "low confidence",
    pb.WARNING_NOT_A_DIGIT: "not a digit?",
}


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version that is served, with the sha256 of its `model.onnx`."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Classification:
    """What a model says of one image."""

    digit: int
    glyph: str
    scores: tuple[float, ...]  # (10,)
    probabilities: tuple[float, ...]  # (10,), or () where the model has none
    model: ModelVersion
    warnings: tuple[str, ...] = ()

    @property
    def confidence(self) -> float | None:
        """The probability of the digit; None where the model has no probabilities."""
        return self.probabilities[self.digit] if self.probabilities else None


class DigitClient:
    """Calls `gurmukhi.v1.DigitService` over one channel; close it, or use it in a `with` block.

    Every call has a deadline, and raises CallError when it fails.
    """

    def __init__(self, target: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self._target = target
        self._timeout = timeout_seconds
        self._channel = grpc.insecure_channel(target)
        self._stub = DigitServiceStub(self._channel)

    def classify(self, picture: Picture, *, model: str = "", version: str = "") -> Classification:
        """Classify one picture by the newest version of the default model, or as named."""
        request = pb.ClassifyRequest(image=_image(picture), model=model, version=version)
        reply = self._call(self._stub.Classify, request)
        return _classification(reply.classification, reply.model)

    def classify_batch(
        self, pictures: Sequence[Picture], *, model: str = "", version: str = ""
    ) -> list[Classification]:
        """Classify several pictures in one call, in their order."""
        reply = self._call(self._stub.ClassifyBatch, _batch(pictures, model, version))
        return [_classification(one, reply.model) for one in reply.classifications]

    def list_models(self) -> list[ModelVersion]:
        """The versions that are served."""
        reply = self._call(self._stub.ListModels, pb.ListModelsRequest())
        return [_model(entry) for entry in reply.models]

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise _call_error(self._target, error) from error


class AsyncDigitClient:
    """DigitClient for asyncio: the same calls, awaited; close it, or use it in `async with`."""

    def __init__(self, target: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self._target = target
        self._timeout = timeout_seconds
        self._channel = grpc.aio.insecure_channel(target)
        self._stub = DigitServiceStub(self._channel)

    async def classify(
        self, picture: Picture, *, model: str = "", version: str = ""
    ) -> Classification:
        """Classify one picture by the newest version of the default model, or as named."""
        request = pb.ClassifyRequest(image=_image(picture), model=model, version=version)
        reply = await self._call(self._stub.Classify, request)
        return _classification(reply.classification, reply.model)

    async def classify_batch(
        self, pictures: Sequence[Picture], *, model: str = "", version: str = ""
    ) -> list[Classification]:
        """Classify several pictures in one call, in their order."""
        reply = await self._call(self._stub.ClassifyBatch, _batch(pictures, model, version))
        return [_classification(one, reply.model) for one in reply.classifications]

    async def list_models(self) -> list[ModelVersion]:
        """The versions that are served."""
        reply = await self._call(self._stub.ListModels, pb.ListModelsRequest())
        return [_model(entry) for entry in reply.models]

    async def close(self) -> None:
        """Close the channel; calls under way fail."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise _call_error(self._target, error) from error


def _image(picture: Picture) -> pb.Image:
    if isinstance(picture, bytes):
        return pb.Image(encoded=picture)
    if picture.shape != (SIDE, SIDE) or picture.dtype != np.uint8:
        raise ImageError(
            f"pixels are {picture.dtype} of shape {picture.shape}; expected uint8 ({SIDE}, {SIDE})"
        )
    return pb.Image(pixels=picture.tobytes())


def _batch(pictures: Sequence[Picture], model: str, version: str) -> pb.ClassifyBatchRequest:
    images = [_image(picture) for picture in pictures]
    return pb.ClassifyBatchRequest(images=images, model=model, version=version)


def _classification(message: pb.Classification, model: pb.ModelVersion) -> Classification:
    return Classification(
        digit=message.digit,
        glyph=message.glyph,
        scores=tuple(message.scores),
        probabilities=tuple(message.probabilities),
        model=_model(model),
        # A newer server may warn of what this client has no words for.
        warnings=tuple(_WARNINGS.get(code, f"warning {code}") for code in message.warnings),
    )


def _model(message: pb.ModelVersion) -> ModelVersion:
    return ModelVersion(message.name, message.version, message.sha256)


def _call_error(target: str, error: grpc.RpcError) -> CallError:
    return CallError(target, error.code(), error.details() or "no details")
