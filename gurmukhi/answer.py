"""What clients send and get: pictures into requests, replies into answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

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


_SHAPE: Final = (SIDE, SIDE)
_UINT8: Final = np.dtype(np.uint8)
_PIXELS_HEAD: Final = pb.ClassifyRequest(
    image=pb.Image(pixels=bytes(SIDE * SIDE))
).SerializeToString()[: -SIDE * SIDE]


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


class Classification:
    """What a model says of one image; read from the reply when it is asked for.

    Of the twenty numbers that come with a digit most callers want none, and a program that
    classifies many images would spend more on them than on its calls.
    """

    __slots__ = ("_message", "_noticed", "model")

    def __init__(
        self, message: pb.Classification, model: ModelVersion, noticed: tuple[str, ...] = ()
    ) -> None:
        self._message = message
        self._noticed = noticed  # before the picture was sent
        self.model = model

    @property
    def digit(self) -> int:
        """0 to 9."""
        return self._message.digit

    @property
    def glyph(self) -> str:
        """The digit in Gurmukhi script."""
        return self._message.glyph

    @property
    def scores(self) -> tuple[float, ...]:
        """(10,): log-probabilities of the MLP, decision values of an SVM."""
        return tuple(self._message.scores)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """(10,), or () where the model has none."""
        return tuple(self._message.probabilities)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about this answer."""
        # A newer server may warn of what this client has no words for.
        said = [_WARNINGS.get(code, f"warning {code}") for code in self._message.warnings]
        return (*self._noticed, *said)

    @property
    def top(self) -> tuple[Candidate, ...]:
        """As many as were asked for, the likeliest first."""
        has_probability = bool(self._message.probabilities)
        return tuple([_read_candidate(one, has_probability) for one in self._message.top])

    @property
    def pixels(self) -> NDArray[np.uint8] | None:
        """What the model saw, uint8 (32, 32), 0 ink and 255 paper; None where not asked for."""
        seen = self._message.pixels
        return np.frombuffer(seen, np.uint8).reshape(SIDE, SIDE) if seen else None

    @property
    def confidence(self) -> float | None:
        """The probability of the digit; None where the model has no probabilities."""
        probabilities = self._message.probabilities
        return probabilities[self.digit] if probabilities else None

    def with_warnings(self, noticed: tuple[str, ...]) -> "Classification":
        """The same, preceded by warnings of what was noticed before it was sent."""
        return Classification(self._message, self.model, noticed + self._noticed)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Classification):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        values = zip(_FIELDS, self._values(), strict=True)
        return f"Classification({', '.join(f'{name}={value!r}' for name, value in values)})"

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in _FIELDS])


_FIELDS: Final = ("digit", "glyph", "scores", "probabilities", "model", "warnings", "top")


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
    return Classification(reply.response.classification, read_model(reply.response.model))


def make_image(picture: Picture) -> pb.Image:
    """One picture as a message; raises ImageError where its pixels have another shape."""
    if isinstance(picture, bytes):
        return pb.Image(encoded=picture)
    _check_pixels(picture)
    return pb.Image(pixels=picture.tobytes())


def encode_image(picture: Picture) -> bytes:
    """A ClassifyRequest of one picture alone, as bytes; raises ImageError as make_image does.

    Field by field a ClassifyBatchRequest has the same numbers, and messages that follow one another
    are merged when they are read: so the images of a batch are these bytes joined.
    """
    if isinstance(picture, bytes):
        return pb.ClassifyRequest(image=pb.Image(encoded=picture)).SerializeToString()
    _check_pixels(picture)
    return _PIXELS_HEAD + picture.tobytes()  # what precedes 1,024 bytes is always the same


def _check_pixels(picture: NDArray[np.uint8]) -> None:
    if picture.shape != _SHAPE or picture.dtype != _UINT8:
        raise ImageError(
            f"pixels are {picture.dtype} of shape {picture.shape}; expected uint8 ({SIDE}, {SIDE})"
        )


def make_batch(pictures: Sequence[Picture], model: str, version: str) -> pb.ClassifyBatchRequest:
    """Several pictures as one request; raises ImageError as make_request does."""
    images = [make_image(picture) for picture in pictures]
    return pb.ClassifyBatchRequest(images=images, model=model, version=version)


def _read_candidate(message: pb.Candidate, has_probability: bool) -> Candidate:
    probability = message.probability if has_probability else None
    return Candidate(message.digit, message.glyph, message.score, probability)


def read_model(message: pb.ModelVersion) -> ModelVersion:
    """A version that is served."""
    return ModelVersion(message.name, message.version, message.sha256)


def call_error(target: str, error: grpc.RpcError) -> CallError:
    """A failed call as an error of ours."""
    return CallError(target, error.code(), explain(error.details() or "no details"))
