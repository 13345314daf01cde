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
# Below it the arrays that spare a batch its work one by one cost more than they spare.
_FEW: Final = 4
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
    """The answer to the first image of a prediction; `noticed` are its picture's warnings."""
    return _answers(model, prediction, [noticed], top_k, low_confidence)[0]


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
        self._least_confidence = max(limit for limit, _ in _limits(model, low_confidence))

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
    """The answers to all images of a prediction; `noticed` are the warnings of each picture."""
    if len(noticed) < _FEW:
        few = _answers(model, prediction, noticed, top_k, low_confidence)
        return pb.ClassifyBatchResponse(classifications=few)
    response = pb.ClassifyBatchResponse.FromString(_encode(prediction))
    answers = response.classifications
    for index, found in enumerate(noticed):
        if found:
            answers[index].warnings.extend([_WARNINGS[warning] for warning in found])
    likely = prediction.probabilities
    if likely is not None:
        # As Python's numbers, which the limits are.
        confidence = likely[np.arange(len(likely)), prediction.digits].astype(np.float64)
        for limit, warning in _limits(model, low_confidence):
            for index in np.flatnonzero(confidence < limit).tolist():
                answers[index].warnings.append(warning)
    if top_k:
        for one in answers:
            one.top.extend(_top(one.digit, list(one.scores), list(one.probabilities), top_k))
    return response


def model_version(model: Model) -> pb.ModelVersion:
    """The version that answers."""
    return _version(model.name, model.version, model.sha256)


def _answers(
    model: Model,
    prediction: Prediction,
    noticed: Sequence[tuple[str, ...]],
    top_k: int,
    low_confidence: float,
) -> list[pb.Classification]:
    # Lists at once: an array gives its elements one by one at many times the price.
    digits, scores = prediction.digits.tolist(), prediction.scores.tolist()
    known = prediction.probabilities
    probabilities = [[]] * len(digits) if known is None else known.tolist()
    limits = _limits(model, low_confidence)
    answers = []
    for digit, row, likely, found in zip(digits, scores, probabilities, noticed, strict=True):
        warnings = [_WARNINGS[warning] for warning in found] if found else []
        if likely:
            warnings += [warning for limit, warning in limits if likely[digit] < limit]
        answers.append(
            pb.Classification(
                digit=digit,
                glyph=GLYPHS[digit],
                probabilities=likely,
                scores=row,
                warnings=warnings,
                top=_top(digit, row, likely, top_k) if top_k else (),
            )
        )
    return answers


def _encode(prediction: Prediction) -> bytes:
    """A ClassifyBatchResponse with digits, glyphs, scores and probabilities, as bytes.

    Its answers are of one length and differ in digit, glyph and numbers alone, so NumPy writes
    them in a few strokes. Reading them takes protobuf a tenth of the time that making them does.
    """
    digits, probabilities = prediction.digits, prediction.probabilities
    blank, layout = _blank(probabilities is not None)
    records = np.tile(blank, len(digits)).view(layout)  # (N,)
    records["digit"] = digits
    records["glyph"] = _GLYPH_BYTES[digits]
    records["scores"] = prediction.scores
    if probabilities is not None:
        records["probabilities"] = probabilities
    encoded: bytes = records.tobytes()
    return encoded


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


# One for each version that is served, and some that were; not by the model, which is to be freed.
@lru_cache(maxsize=256)
def _version(name: str, version: str, sha256: str) -> pb.ModelVersion:
    return pb.ModelVersion(name=name, version=version, sha256=sha256)
