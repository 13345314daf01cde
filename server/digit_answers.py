"""Write predictions as the answers of DigitService."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.image import INVERTED, SEVERAL_GLYPHS
from gurmukhi.labels import CLASS_COUNT, GLYPHS
from gurmukhi.v1 import digits_pb2 as pb
from server.model import Model, Prediction
from server.wire_format import floats, number_of, prefix

_WARNINGS: Final = {
    INVERTED: pb.WARNING_INVERTED,
    SEVERAL_GLYPHS: pb.WARNING_SEVERAL_GLYPHS,
}
_ANSWER: Final = number_of(pb.ClassifyResponse, "classification")
_PROBABILITIES, _SCORES = (
    prefix(number_of(pb.Classification, field), 4 * CLASS_COUNT)
    for field in ("probabilities", "scores")
)
_GLYPH_BYTES: Final = np.array([glyph.encode() for glyph in GLYPHS], dtype="S3")


def answer_one(
    model: Model,
    prediction: Prediction,
    noticed: tuple[str, ...],
    top_k: int,
    low_confidence: float,
) -> pb.Classification:
    """The answer to the one image of a prediction; `noticed` are its picture's warnings."""
    digit, scores = prediction.digits.item(), prediction.scores[0].tolist()
    known = prediction.probabilities
    likely = [] if known is None else known[0].tolist()
    warnings = [_WARNINGS[warning] for warning in noticed] if noticed else []
    if likely:
        limits = _limits(model, low_confidence)
        warnings += [warning for limit, warning in limits if likely[digit] < limit]
    return pb.Classification(
        digit=digit,
        glyph=GLYPHS[digit],
        probabilities=likely,
        scores=scores,
        warnings=warnings,
        top=_top(digit, scores, likely, top_k) if top_k else (),
    )


class PlainWriter:
    """Writes the answers of one version that are digit, probabilities and scores alone.

    They are those of `answer_one` without candidates, pixels and warnings, and with the version.
    """

    __slots__ = ("_end", "_heads", "_least_confidence")

    def __init__(self, model: Model, low_confidence: float) -> None:
        numbers = 4 * CLASS_COUNT
        if "probabilities" in model.output_names:
            first, rest = _PROBABILITIES, numbers + len(_SCORES) + numbers
        else:
            first, rest = _SCORES, numbers
        heads = [
            pb.Classification(digit=digit, glyph=glyph).SerializeToString() + first
            for digit, glyph in enumerate(GLYPHS)
        ]
        self._heads = [prefix(_ANSWER, len(head) + rest) + head for head in heads]
        # In a response the version comes after the answer.
        self._end = pb.ClassifyResponse(model=model_version(model)).SerializeToString()
        self._least_confidence = _least_confidence(model, low_confidence)

    def write(self, prediction: Prediction) -> bytes | None:
        """The ClassifyResponse to the one image of a prediction; None where it is to be warned."""
        digits, scores, known = prediction
        digit, numbers = digits.item(), floats(scores)
        if known is None:
            return b"".join((self._heads[digit], numbers, self._end))
        if known.item(digit) < self._least_confidence:
            return None
        likely = floats(known)
        return b"".join((self._heads[digit], likely, _SCORES, numbers, self._end))


def answer_batch(
    model: Model,
    prediction: Prediction,
    noticed: Sequence[tuple[str, ...]],
    top_k: int,
    low_confidence: float,
) -> pb.ClassifyBatchResponse:
    """The answers to all images of a prediction, as `write_batch` writes them, and candidates."""
    response = pb.ClassifyBatchResponse.FromString(
        write_batch(model, prediction, noticed, low_confidence)
    )
    if top_k:
        for one in response.classifications:
            one.top.extend(_top(one.digit, list(one.scores), list(one.probabilities), top_k))
    return response


def write_batch(
    model: Model,
    prediction: Prediction,
    noticed: Sequence[tuple[str, ...]],
    low_confidence: float,
) -> bytes:
    """The ClassifyBatchResponse to all images of a prediction.

    `noticed` are the warnings of each picture, or nothing where there are none. Answers without
    warnings are of one length and differ in digit, glyph and numbers alone, so NumPy writes them in
    a few strokes: in a tenth of the time that it takes to make messages of them.
    """
    records = _records(prediction)
    pieces, start = [], 0
    for index in _to_be_warned(model, prediction, noticed, low_confidence):
        found = noticed[index] if noticed else ()
        alone = prediction.part(index, index + 1)
        answer = answer_one(model, alone, found, 0, low_confidence)
        message = pb.ClassifyBatchResponse(classifications=[answer])
        pieces += [records[start:index].tobytes(), message.SerializeToString()]
        start = index + 1
    return b"".join([*pieces, records[start:].tobytes(), _batch_end(*_identity(model))])


def model_version(model: Model) -> pb.ModelVersion:
    """The version that answers."""
    return _version(*_identity(model))


def _to_be_warned(
    model: Model,
    prediction: Prediction,
    noticed: Sequence[tuple[str, ...]],
    low_confidence: float,
) -> list[int]:
    """Which answers carry a warning, in their order."""
    found = {index for index, warnings in enumerate(noticed) if warnings}
    likely = prediction.probabilities
    if likely is not None:
        confidence = likely[np.arange(len(likely)), prediction.digits]
        limit = _least_confidence(model, low_confidence)
        if not confidence.min().item() >= limit:  # seldom; one that is no number says nothing
            # As Python's numbers, which the limits are.
            found.update(np.flatnonzero(confidence.astype(np.float64) < limit).tolist())
    return sorted(found)


def _records(prediction: Prediction) -> NDArray[np.void]:
    """(N,): what a ClassifyBatchResponse holds of each image, but for warnings, as bytes."""
    digits, probabilities = prediction.digits, prediction.probabilities
    blank, layout = _blank(probabilities is not None)
    records = np.tile(blank, len(digits)).view(layout)
    records["digit"] = digits
    records["glyph"] = _GLYPH_BYTES[digits]
    records["scores"] = prediction.scores
    if probabilities is not None:
        records["probabilities"] = probabilities
    return records


@cache
def _blank(has_probabilities: bool) -> tuple[NDArray[np.uint8], np.dtype[np.void]]:
    """The bytes of a response with one answer, and where in them is what answers differ in."""
    digit, scores, likely = 1, *np.arange(2, 2 + 2 * CLASS_COUNT, dtype="<f4").reshape(2, -1)
    example = pb.Classification(digit=digit, glyph=GLYPHS[digit], scores=scores.tolist())
    fields: dict[str, tuple[Any, bytes]] = {
        "glyph": ("S3", _GLYPH_BYTES[digit]),
        "scores": (("<f4", CLASS_COUNT), scores.tobytes()),
    }
    if has_probabilities:
        example.probabilities.extend(likely.tolist())
        fields["probabilities"] = (("<f4", CLASS_COUNT), likely.tobytes())
    encoded = pb.ClassifyBatchResponse(classifications=[example]).SerializeToString()
    tag = pb.Classification(
        digit=digit
    ).SerializeToString()  # and the digit, the one byte at its end
    layout: Any = {
        "names": ["digit", *fields],
        "formats": ["u1", *(kind for kind, _ in fields.values())],
        "offsets": [
            encoded.index(tag) + len(tag) - 1,
            *(encoded.index(value) for _, value in fields.values()),
        ],
        "itemsize": len(encoded),
    }
    return np.frombuffer(encoded, dtype=np.uint8), np.dtype(layout)


def _limits(model: Model, low_confidence: float) -> tuple[tuple[float, pb.Warning], ...]:
    """Below which probability of its digit an answer carries which warning."""
    return (
        (low_confidence, pb.WARNING_LOW_CONFIDENCE),
        (model.manifest.warn_below, pb.WARNING_NOT_A_DIGIT),
    )


def _least_confidence(model: Model, low_confidence: float) -> float:
    """Below which an answer carries a warning."""
    return max(limit for limit, _ in _limits(model, low_confidence))


def _top(
    digit: int, scores: list[float], probabilities: list[float], count: int
) -> list[pb.Candidate]:
    """The likeliest digits; the model's own comes first, whatever its scores say."""
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


def _identity(model: Model) -> tuple[str, str, str]:
    return model.name, model.version, model.sha256


# One for each version that is served, and some that were; not by the model, which is to be freed.
@lru_cache(maxsize=256)
def _version(name: str, version: str, sha256: str) -> pb.ModelVersion:
    return pb.ModelVersion(name=name, version=version, sha256=sha256)


@lru_cache(maxsize=256)
def _batch_end(name: str, version: str, sha256: str) -> bytes:
    """What a ClassifyBatchResponse says after its answers."""
    return pb.ClassifyBatchResponse(model=_version(name, version, sha256)).SerializeToString()
