"""What DigitService answers of a batch is what it answers of its images one by one."""

from pathlib import Path

import numpy as np
import pytest

from gurmukhi.labels import GLYPHS
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from server.digit_answers import (
    PlainWriter,
    answer_batch,
    answer_one,
    model_version,
    write_batch,
)
from server.model import Model, Prediction, load_model

DIGITS, _ = synthetic_digits(40, 31)
SCRIBBLES = np.random.default_rng(5).integers(0, 256, (24, 32, 32), dtype=np.uint8)
IMAGES = np.concatenate([DIGITS, SCRIBBLES])
NOTICED = [(), ("inverted",), ("inverted", "several glyphs"), *[()] * (len(IMAGES) - 3)]


@pytest.fixture(scope="module", params=["mlp", "svm-rbf"])
def model(request: pytest.FixtureRequest, models: Path) -> Model:
    """One with probabilities, and one without."""
    return load_model(models / request.param / "1")


def one_by_one(
    model: Model, prediction: Prediction, top_k: int, low_confidence: float
) -> list[object]:
    digits, scores, likely = prediction
    rows = [
        Prediction(digits[one], scores[one], None if likely is None else likely[one])
        for one in (slice(index, index + 1) for index in range(len(digits)))
    ]
    return [
        answer_one(model, row, found, top_k, low_confidence)
        for row, found in zip(rows, NOTICED, strict=False)
    ]


@pytest.mark.parametrize("count", [1, 3, 64])
@pytest.mark.parametrize("top_k", [0, 3])
def test_a_batch_is_answered_as_its_images_one_by_one(model: Model, count: int, top_k: int) -> None:
    prediction = model.predict(IMAGES[:count])
    response = answer_batch(model, prediction, NOTICED[:count], top_k, 0.9)
    assert list(response.classifications) == one_by_one(model, prediction, top_k, 0.9)
    assert response.model == model_version(model)
    alone = answer_batch(model, prediction, (), 0, 0.9)  # nothing noticed of any picture
    assert alone == pb.ClassifyBatchResponse.FromString(write_batch(model, prediction, (), 0.9))
    assert alone == answer_batch(model, prediction, [()] * count, 0, 0.9)


def test_a_batch_of_every_digit_names_each_in_its_script(model: Model) -> None:
    digits, count = np.arange(10), len(GLYPHS)
    scores = np.eye(10, dtype=np.float32)
    prediction = Prediction(digits, scores, scores)
    answers = answer_batch(model, prediction, NOTICED[:count], 0, 0.5).classifications
    assert [(one.digit, one.glyph) for one in answers] == list(enumerate(GLYPHS))
    assert list(answers) == one_by_one(model, prediction, 0, 0.5)


def test_a_confidence_is_held_against_its_limit_in_full_precision(model: Model) -> None:
    # 0.7 is no float32: the nearest is less, and a limit of that would not be met by it.
    likely = np.zeros((4, 10), np.float32)
    nearest = np.float32(0.7)  # 0.699999988
    likely[:, 0] = [nearest, np.nextafter(nearest, np.float32(1)), nearest, 1]
    prediction = Prediction(np.zeros(4, np.int64), likely, likely)
    answers = answer_batch(model, prediction, NOTICED[:4], 0, 0.7).classifications
    assert list(answers) == one_by_one(model, prediction, 0, 0.7)


def test_a_probability_that_is_no_number_costs_no_other_image_its_warning(model: Model) -> None:
    likely = np.full((4, 10), 0.1, np.float32)
    likely[2] = np.nan
    prediction = Prediction(np.zeros(4, np.int64), likely, likely)
    answers = answer_batch(model, prediction, (), 0, 0.7).classifications
    assert [bool(one.warnings) for one in answers] == [True, True, False, True]


def test_a_plain_answer_is_the_same_in_its_bytes(model: Model) -> None:
    predictions = [model.predict(image[None]) for image in IMAGES]
    for digit, scores in enumerate(np.eye(10, dtype=np.float32)[:, None]):
        likely = None if predictions[0].probabilities is None else scores
        predictions.append(Prediction(np.array([digit]), scores, likely))
    for prediction in predictions:
        written = PlainWriter(model, 0.9).write(prediction)
        answer = answer_one(model, prediction, (), 0, 0.9)
        response = pb.ClassifyResponse(classification=answer, model=model_version(model))
        assert written == (None if answer.warnings else response.SerializeToString())
