"""gurmukhi.v1.DigitService: an image in, a digit out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import ImageError
from gurmukhi.image import (
    MAX_CALL_PIXELS,
    MAX_SERVED_PIXELS,
    SIDE,
    DigitImage,
    PixelBudget,
    decode,
)
from gurmukhi.labels import CLASS_COUNT
from gurmukhi.v1 import digits_pb2 as pb
from server.digit_answers import (
    PlainWriter,
    answer_batch,
    answer_one,
    model_version,
    write_batch,
)
from server.errors import InvalidRequest, NotFound, ServiceError
from server.predictor import Predictor
from server.prepared_requests import Prepared, PreparedRequests
from server.raw_batch import RawBatch, read_batch
from server.repository import Repository
from server.service import AnyMethod, Call, Method, StreamMethod, ensure_awaited
from server.steps import Steps, walk

_PIXEL_BYTES: Final = SIDE * SIDE
# Of google.rpc.Code. Anything else that goes wrong ends the stream.
_STREAM_CODES: Final[dict[type[ServiceError], int]] = {InvalidRequest: 3, NotFound: 5}


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
        prepared = PreparedRequests(pb.ClassifyRequest, _pixels_of, _put_pixels, _Asked)
        self.methods: Mapping[str, AnyMethod] = {
            "Classify": Method(
                pb.ClassifyRequest,
                self.classify,
                is_work=True,
                is_brief=_has_pixels,
                steps=self.classify_in_steps,
                parse=prepared.parse,
            ),
            "ClassifyBatch": Method(
                pb.ClassifyBatchRequest,
                self.classify_batch,
                is_work=True,
                steps=self.classify_batch_in_steps,
                parse=read_batch,
            ),
            "ClassifyStream": StreamMethod(pb.ClassifyRequest, self.classify_stream),
            "ListModels": Method(pb.ListModelsRequest, self.list_models),
        }

    def classify(
        self, request: pb.ClassifyRequest | Prepared, call: Call
    ) -> pb.ClassifyResponse | bytes:
        """Classify one image."""
        return walk(self.classify_in_steps(request, call))

    def classify_in_steps(
        self, request: pb.ClassifyRequest | Prepared, call: Call
    ) -> Steps[pb.ClassifyResponse | bytes]:
        """As classify, in steps."""
        if isinstance(request, Prepared):
            return self._classify_prepared(*request, call)
        return self._classify(request, call)

    def _classify(self, request: pb.ClassifyRequest, call: Call) -> Steps[pb.ClassifyResponse]:
        _check_top_k(request.top_k)
        model = self._repository.find(request.model, request.version)
        with self._predictor.attempt(model, call) as attempt:
            if request.image.encoded:
                yield None
            image = _read_image(request.image, "image")
            prediction = yield from attempt.predict(image.pixels[None])
            answer = answer_one(
                model, prediction, image.warnings, request.top_k, self._low_confidence
            )
            if request.return_pixels:
                answer.pixels = image.pixels.tobytes()
            return pb.ClassifyResponse(classification=answer, model=model_version(model))

    def _classify_prepared(
        self, asked: "_Asked", pixels: NDArray[np.uint8], call: Call
    ) -> Steps[pb.ClassifyResponse | bytes]:
        model = self._repository.find(asked.model, asked.version)
        with self._predictor.attempt(model, call) as attempt:
            prediction = yield from attempt.predict(pixels)
            # The model may be another by now, or have another limit.
            kind = (model.name, model.version, model.sha256, model.manifest.warn_below)
            writer = asked.writers.get(kind)
            if writer is None:
                writer = asked.writers[kind] = PlainWriter(model, self._low_confidence)
            written = writer.write(prediction)
            if written is not None:
                return written
            answer = answer_one(model, prediction, (), 0, self._low_confidence)
            return pb.ClassifyResponse(classification=answer, model=model_version(model))

    def classify_batch(
        self, request: pb.ClassifyBatchRequest | RawBatch, call: Call
    ) -> pb.ClassifyBatchResponse | bytes:
        """Classify several images by one run of one model."""
        return walk(self.classify_batch_in_steps(request, call))

    def classify_batch_in_steps(
        self, request: pb.ClassifyBatchRequest | RawBatch, call: Call
    ) -> Steps[pb.ClassifyBatchResponse | bytes]:
        """As classify_batch, in steps."""
        asked, raw = request if isinstance(request, RawBatch) else (request, None)
        _check_top_k(asked.top_k)
        model = self._repository.find(asked.model, asked.version)
        with self._predictor.attempt(model, call) as attempt:
            self._check_count(len(asked.images if raw is None else raw))
            noticed: Sequence[tuple[str, ...]] = ()
            pixels = raw
            if pixels is None:
                yield None  # pictures may take long to decode
                pixels, noticed = _read_pictures(asked.images, call)
            prediction = yield from attempt.predict(pixels)
            if raw is not None and not asked.top_k and not asked.return_pixels:
                return write_batch(model, prediction, noticed, self._low_confidence)
            response = answer_batch(model, prediction, noticed, asked.top_k, self._low_confidence)
            if asked.return_pixels:
                for answer, seen in zip(response.classifications, pixels, strict=True):
                    answer.pixels = seen.tobytes()
            return response

    def classify_stream(
        self, requests: Iterator[pb.ClassifyRequest], call: Call
    ) -> Iterator[pb.ClassifyStreamResponse]:
        """Classify images one after the other; the next is read when the last is answered."""
        for index, request in enumerate(requests):
            try:
                response = walk(self._classify(request, call))
            except (InvalidRequest, NotFound) as error:
                failure = pb.StreamError(code=_STREAM_CODES[type(error)], message=str(error))
                yield pb.ClassifyStreamResponse(index=index, error=failure)
            else:
                yield pb.ClassifyStreamResponse(index=index, response=response)

    def list_models(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        """List the versions that answer."""
        return pb.ListModelsResponse(
            models=[model_version(model) for model in self._repository],
            default_model=self._repository.default,
        )

    def _check_count(self, count: int) -> None:
        if not 1 <= count <= self._max_batch_size:
            raise InvalidRequest(
                "images", f"has {count} images; expected 1 to {self._max_batch_size}"
            )


def _read_pictures(
    images: Sequence[pb.Image], call: Call
) -> tuple[NDArray[np.uint8], list[tuple[str, ...]]]:
    """The pixels of all images, (N, 32, 32), and the warnings of each."""
    found, budget = [], PixelBudget(MAX_CALL_PIXELS)
    for index, image in enumerate(images):
        ensure_awaited(call)  # a picture may take long to decode
        found.append(_read_image(image, f"images[{index}]", budget))
    return np.stack([image.pixels for image in found]), [image.warnings for image in found]


class _Asked:
    """What a prepared request asks, and what writes the answer of each version to it."""

    def __init__(self, request: pb.ClassifyRequest) -> None:
        self.model, self.version = request.model, request.version
        self.writers: dict[tuple[str, str, str, float], PlainWriter] = {}


def _pixels_of(request: pb.ClassifyRequest) -> bytes | None:
    """The raw pixels of a request that asks for nothing that not every answer has."""
    if request.top_k or request.return_pixels:
        return None
    pixels: bytes = request.image.pixels  # empty where it is encoded
    return pixels if len(pixels) == _PIXEL_BYTES else None


def _put_pixels(request: pb.ClassifyRequest, pixels: bytes) -> None:
    request.image.pixels = pixels


def _has_pixels(request: pb.ClassifyRequest | Prepared) -> bool:
    """Whether nothing is to be decoded."""
    return isinstance(request, Prepared) or bool(request.image.WhichOneof("kind") == "pixels")


def _check_top_k(top_k: int) -> None:
    if top_k > CLASS_COUNT:
        raise InvalidRequest("top_k", f"is {top_k}; expected 0 to {CLASS_COUNT}")


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
