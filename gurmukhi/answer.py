"""What clients send and get: pictures into requests, replies into answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray

from gurmukhi.channel import explain
from gurmukhi.errors import CallError, ImageError
from gurmukhi.image import SIDE
from gurmukhi.v1 import digits_pb2 as pb

Picture: TypeAlias = bytes | NDArray[np.uint8]
"""An encoded file, or uint8 (32, 32) pixels with 0 ink and 255 paper."""

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
class Candidate:
    """One of the likeliest digits."""

    digit: int
    glyph: str
    score: float
    probability: float | None  # None where the model has none


@dataclass(frozen=True, slots=True)
class Classification:
    """What a model says of one image."""

    digit: int
    glyph: str
    scores: tuple[float, ...]  # (10,)
    probabilities: tuple[float, ...]  # (10,), or () where the model has none
    model: ModelVersion
    warnings: tuple[str, ...] = ()
    top: tuple[Candidate, ...] = ()  # as many as were asked for, the likeliest first
    # What the model saw, uint8 (32, 32) with 0 ink and 255 paper; None where it was not asked for.
    pixels: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    @property
    def confidence(self) -> float | None:
        """The probability of the digit; None where the model has no probabilities."""
        return self.probabilities[self.digit] if self.probabilities else None


def make_request(
    picture: Picture, model: str, version: str, *, top_k: int = 0, return_pixels: bool = False
) -> pb.ClassifyRequest:
    """One picture as a request; raises ImageError where its pixels have another shape."""
    return pb.ClassifyRequest(
        image=make_image(picture),
        model=model,
        version=version,
        top_k=top_k,
        return_pixels=return_pixels,
    )


def read_outcome(target: str, reply: pb.ClassifyStreamResponse) -> Classification | CallError:
    """One answer of a stream, or why there is none."""
    if reply.WhichOneof("outcome") == "error":
        codes = (code for code in grpc.StatusCode if code.value[0] == reply.error.code)
        code = next(codes, grpc.StatusCode.UNKNOWN)
        return CallError(target, code, reply.error.message)
    return read_classification(reply.response.classification, read_model(reply.response.model))


def make_image(picture: Picture) -> pb.Image:
    """One picture as a message; raises ImageError where its pixels have another shape."""
    if isinstance(picture, bytes):
        return pb.Image(encoded=picture)
    if picture.shape != (SIDE, SIDE) or picture.dtype != np.uint8:
        raise ImageError(
            f"pixels are {picture.dtype} of shape {picture.shape}; expected uint8 ({SIDE}, {SIDE})"
        )
    return pb.Image(pixels=picture.tobytes())


def make_batch(pictures: Sequence[Picture], model: str, version: str) -> pb.ClassifyBatchRequest:
    """Several pictures as one request; raises ImageError as make_request does."""
    images = [make_image(picture) for picture in pictures]
    return pb.ClassifyBatchRequest(images=images, model=model, version=version)


def read_classification(message: pb.Classification, model: ModelVersion) -> Classification:
    """What the model says of one image."""
    probabilities = tuple(message.probabilities)
    warnings, top, pixels = message.warnings, message.top, message.pixels
    return Classification(
        digit=message.digit,
        glyph=message.glyph,
        scores=tuple(message.scores),
        probabilities=probabilities,
        model=model,
        # A newer server may warn of what this client has no words for.
        warnings=tuple([_WARNINGS.get(code, f"warning {code}") for code in warnings])
        if warnings
        else (),
        top=tuple([_read_candidate(one, bool(probabilities)) for one in top]) if top else (),
        pixels=np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE) if pixels else None,
    )


def _read_candidate(message: pb.Candidate, has_probability: bool) -> Candidate:
    probability = message.probability if has_probability else None
    return Candidate(message.digit, message.glyph, message.score, probability)


def read_model(message: pb.ModelVersion) -> ModelVersion:
    """A version that is served."""
    return ModelVersion(message.name, message.version, message.sha256)


def call_error(target: str, error: grpc.RpcError) -> CallError:
    """A failed call as an error of ours."""
    return CallError(target, error.code(), explain(error.details() or "no details"))
