"""gurmukhi.v1.DigitService: an image in, a digit out."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import ImageError
from gurmukhi.image import (
    INVERTED,
    MAX_CALL_PIXELS,
    MAX_SERVED_PIXELS,
    SEVERAL_GLYPHS,
    SIDE,
    DigitImage,
    PixelBudget,
    decode,
)
from gurmukhi.labels import CLASS_COUNT, GLYPHS
from gurmukhi.v1 import digits_pb2 as pb
from server.errors import InvalidRequest, NotFound, ServiceError
from server.model import Model, Prediction
from server.predictor import Predictor
from server.repository import Repository
from server.service import AnyMethod, Call, Method, StreamMethod, ensure_awaited

_PIXEL_BYTES: Final = SIDE * SIDE
# Of google.rpc.Code. Anything else that goes wrong ends the stream.
_STREAM_CODES: Final[dict[type[ServiceError], int]] = {InvalidRequest: 3, NotFound: 5}
_WARNINGS: Final = {
    INVERTED: pb.WARNING_INVERTED,
    SEVERAL_GLYPHS: pb.WARNING_SEVERAL_GLYPHS,
}


class DigitService:
    """Classifies pictures; knows no transport."""

    name: Final = pb.DESCRIPTOR.services_by_name["DigitService"].full_name

    def __init__(
        self,
        repository: Repository,
        predictor: Predictor,
        *,
        max_batch_size: int,
        low_confidence: float,
    ) -> None:
        self._repository = repository
        self._predictor = predictor
        self._max_batch_size = max_batch_size
        self._low_confidence = low_confidence
        self.methods: Mapping[str, AnyMethod] = {
            "Classify": Method(
                pb.ClassifyRequest, self.classify, is_work=True, is_brief=_has_pixels
            ),
            "ClassifyBatch": Method(pb.ClassifyBatchRequest, self.classify_batch, is_work=True),
            "ClassifyStream": StreamMethod(pb.ClassifyRequest, self.classify_stream),
            "ListModels": Method(pb.ListModelsRequest, self.list_models),
        }

    def classify(self, request: pb.ClassifyRequest, call: Call) -> pb.ClassifyResponse:
        """Classify one image."""
        _check_top_k(request.top_k)
        model = self._repository.find(request.model, request.version)
        with self._predictor.attempt(model, call) as attempt:
            image = _read_image(request.image, "image")
            prediction = attempt.predict(image.pixels[None])
            (answer,) = self._classifications(model, prediction, [image.warnings], request.top_k)
            if request.return_pixels:
                answer.pixels = image.pixels.tobytes()
            return pb.ClassifyResponse(classification=answer, model=_model_version(model))

    def classify_batch(
        self, request: pb.ClassifyBatchRequest, call: Call
    ) -> pb.ClassifyBatchResponse:
        """Classify several images by one run of one model."""
        _check_top_k(request.top_k)
        model = self._repository.find(request.model, request.version)
        with self._predictor.attempt(model, call) as attempt:
            pixels, warnings = self._read_images(request.images, call)
            prediction = attempt.predict(pixels)
            answers = self._classifications(model, prediction, warnings, request.top_k)
            if request.return_pixels:
                for answer, seen in zip(answers, pixels, strict=True):
                    answer.pixels = seen.tobytes()
            return pb.ClassifyBatchResponse(classifications=answers, model=_model_version(model))

    def classify_stream(
        self, requests: Iterator[pb.ClassifyRequest], call: Call
    ) -> Iterator[pb.ClassifyStreamResponse]:
        """Classify images one after the other; the next is read when the last is answered."""
        for index, request in enumerate(requests):
            try:
                response = self.classify(request, call)
            except (InvalidRequest, NotFound) as error:
                failure = pb.StreamError(code=_STREAM_CODES[type(error)], message=str(error))
                yield pb.ClassifyStreamResponse(index=index, error=failure)
            else:
                yield pb.ClassifyStreamResponse(index=index, response=response)

    def list_models(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        """List the versions that answer."""
        return pb.ListModelsResponse(
            models=[_model_version(model) for model in self._repository],
            default_model=self._repository.default,
        )

    def _read_images(
        self, images: Sequence[pb.Image], call: Call
    ) -> tuple[NDArray[np.uint8], Sequence[tuple[str, ...]]]:
        """The pixels of all images, (N, 32, 32), and the warnings of each."""
        count = len(images)
        if not 1 <= count <= self._max_batch_size:
            raise InvalidRequest(
                "images", f"has {count} images; expected 1 to {self._max_batch_size}"
            )
        raw = [image.pixels for image in images]  # empty where it is encoded
        if all(len(pixels) == _PIXEL_BYTES for pixels in raw):
            joined = np.frombuffer(b"".join(raw), dtype=np.uint8)
            return joined.reshape(-1, SIDE, SIDE), [()] * count
        found, budget = [], PixelBudget(MAX_CALL_PIXELS)
        for index, image in enumerate(images):
            ensure_awaited(call)  # a picture may take long to decode
            found.append(_read_image(image, f"images[{index}]", budget))
        return np.stack([image.pixels for image in found]), [image.warnings for image in found]

    def _classifications(
        self,
        model: Model,
        prediction: Prediction,
        warnings: Sequence[tuple[str, ...]],
        top_k: int,
    ) -> list[pb.Classification]:
        # Lists at once: an array gives its elements one by one at many times the price.
        digits, scores = prediction.digits.tolist(), prediction.scores.tolist()
        known = prediction.probabilities
        probabilities = [[]] * len(digits) if known is None else known.tolist()
        return [
            pb.Classification(
                digit=digit,
                glyph=GLYPHS[digit],
                probabilities=likely,
                scores=row,
                warnings=self._warnings(model, found, likely[digit] if likely else None),
                top=_top(digit, row, likely, top_k),
            )
            for digit, row, likely, found in zip(
                digits, scores, probabilities, warnings, strict=True
            )
        ]

    def _warnings(
        self, model: Model, found: tuple[str, ...], confidence: float | None
    ) -> list[pb.Warning]:
        warnings = [_WARNINGS[warning] for warning in found]
        if confidence is not None:
            if confidence < self._low_confidence:
                warnings.append(pb.WARNING_LOW_CONFIDENCE)
            if confidence < model.manifest.warn_below:
                warnings.append(pb.WARNING_NOT_A_DIGIT)
        return warnings


def _has_pixels(request: pb.ClassifyRequest) -> bool:
    """Whether nothing is to be decoded."""
    return bool(request.image.WhichOneof("kind") == "pixels")


def _check_top_k(top_k: int) -> None:
    if top_k > CLASS_COUNT:
        raise InvalidRequest("top_k", f"is {top_k}; expected 0 to {CLASS_COUNT}")


def _top(
    digit: int, scores: list[float], probabilities: list[float], count: int
) -> list[pb.Candidate]:
    """The likeliest digits; the model's own comes first, whatever its scores say."""
    if not count:
        return []
    values = probabilities or scores
    others = sorted(set(range(CLASS_COUNT)) - {digit}, key=lambda other: -values[other])
    return [
        pb.Candidate(
            digit=one,
            glyph=GLYPHS[one],
            score=scores[one],
            probability=probabilities[one] if probabilities else 0.0,
        )
        for one in [digit, *others][:count]
    ]


def _read_image(image: pb.Image, field: str, budget: PixelBudget | None = None) -> DigitImage:
    kind = image.WhichOneof("kind")
    if kind == "encoded":
        try:
            return decode(image.encoded, max_pixels=MAX_SERVED_PIXELS, budget=budget)
        except ImageError as error:
            raise InvalidRequest(f"{field}.encoded", str(error)) from error
    if kind == "pixels":
        return DigitImage(_read_pixels(image.pixels, f"{field}.pixels"))
    raise InvalidRequest(field, "is empty; expected encoded or pixels")


def _read_pixels(pixels: bytes, field: str) -> NDArray[np.uint8]:
    if len(pixels) != _PIXEL_BYTES:
        raise InvalidRequest(
            field, f"has {len(pixels)} bytes; expected {_PIXEL_BYTES} ({SIDE}×{SIDE})"
        )
    return np.frombuffer(pixels, dtype=np.uint8).reshape(SIDE, SIDE)


def _model_version(model: Model) -> pb.ModelVersion:
    return _version(model.name, model.version, model.sha256)


# One for each version that is served, and some that were; not by the model, which is to be freed.
@lru_cache(maxsize=256)
def _version(name: str, version: str, sha256: str) -> pb.ModelVersion:
    return pb.ModelVersion(name=name, version=version, sha256=sha256)
