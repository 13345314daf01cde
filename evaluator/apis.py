"""Check that typed contents and DigitService answer as raw contents do."""

from collections.abc import Callable, Iterator, Sequence

import grpc
import numpy as np
from numpy.typing import NDArray

from evaluator.parity import name_images, replayed
from evaluator.png import encode_png
from evaluator.replay import Replay
from evaluator.results import Fault, Outcome, Result
from evaluator.session import Session, Subject
from evaluator.target import SURE_BATCH, Target
from evaluator.wire import AnswerError
from gurmukhi.client import Classification, Picture
from gurmukhi.errors import CallError
from gurmukhi.labels import GLYPHS

Ask = Callable[[Target, Sequence[Picture], str, str], list[Classification]]
"""Classify pictures by a model and version."""


def check_apis(session: Session) -> Iterator[Result]:
    """Whether typed contents and DigitService give the answers that raw contents gave."""
    for subject in session.testable():
        replay = replayed(session, subject)
        if not replay.is_complete:
            yield Result.skipped("apis", subject.key, "the labels were not replayed in full")
            continue
        yield _typed_result(session, subject, replay)
        yield from _digit_service_results(session, subject, replay)


def _typed_result(session: Session, subject: Subject, replay: Replay) -> Result:
    tolerance = subject.manifest.score_tolerance
    images, wrong = session.split.images, []
    for index, name in enumerate(session.split.names):
        try:
            answer = session.target.infer(
                subject.name, subject.version, images[index : index + 1], typed=True
            )
        except CallError as error:
            return Result.error("apis", subject.key, f"{subject.key}, typed: {name}: {error}")
        except AnswerError as error:
            wrong.append(f"{name} ({error})")
            continue
        if answer.digits[0] != replay.digits[index]:
            wrong.append(f"{name} (raw {replay.digits[index]}, typed {answer.digits[0]})")
        elif not _close(answer.scores[0], replay.scores[index], tolerance):
            wrong.append(f"{name} (scores)")
    if wrong:
        sentence = f"{subject.key}: typed and raw contents disagree on {name_images(wrong)}"
        return Result.failed("apis", subject.key, Fault.PARITY, sentence, images=wrong)
    return Result.passed("apis", subject.key, "typed and raw contents agree")


def _digit_service_results(session: Session, subject: Subject, replay: Replay) -> Iterator[Result]:
    """Classify pixels one by one, the same as PNG files, and in batches."""
    images: list[Picture] = list(session.split.images)
    files: list[Picture] = [encode_png(image) for image in session.split.images]
    for what, pictures, ask in (
        ("Classify", images, _each),
        ("Classify of PNG files", files, _each),
        ("ClassifyBatch", images, Target.classify_batch),
    ):
        result = _digit_service_result(session, subject, replay, what, pictures, ask)
        yield result
        if result.outcome is Outcome.NOT_OFFERED:
            return


def _each(
    target: Target, pictures: Sequence[Picture], model: str, version: str
) -> list[Classification]:
    return [target.classify(one, model, version) for one in pictures]


def _digit_service_result(
    session: Session,
    subject: Subject,
    replay: Replay,
    what: str,
    pictures: Sequence[Picture],
    ask: Ask,
) -> Result:
    names, wrong = session.split.names, []
    for start in range(0, len(names), SURE_BATCH):
        part = slice(start, start + SURE_BATCH)
        try:
            answers = ask(session.target, pictures[part], subject.name, subject.version)
        except CallError as error:
            if error.code is grpc.StatusCode.UNIMPLEMENTED:
                return Result.not_offered(
                    "apis", subject.key, f"the target has no gurmukhi.v1.DigitService ({what})"
                )
            sentence = f"{subject.key}, {what}, from {names[start]} on: {error}"
            return Result.error("apis", subject.key, sentence)
        if len(answers) != len(names[part]):
            wrong.append(f"{names[start]} ({len(answers)} answers on {len(names[part])} images)")
            continue
        for index, answer in enumerate(answers, start):
            if why := _disagreement(answer, subject, replay, index):
                wrong.append(f"{names[index]} ({why})")
    if wrong:
        sentence = f"{subject.key}: {what} and ModelInfer disagree on {name_images(wrong)}"
        return Result.failed("apis", subject.key, Fault.PARITY, sentence, images=wrong)
    return Result.passed("apis", subject.key, f"{what} and ModelInfer agree")


def _disagreement(answer: Classification, subject: Subject, replay: Replay, index: int) -> str:
    """In what a classification differs from the replay and the bundle; "" where in nothing."""
    tolerance = subject.manifest.score_tolerance
    digit = int(replay.digits[index])
    model = f"{answer.model.name}:{answer.model.version}"
    if answer.digit != digit:
        return f"ModelInfer {digit}, here {answer.digit}"
    if answer.glyph != GLYPHS[digit]:
        return f"the glyph of {digit} is {answer.glyph!r}"
    if not _close(np.array(answer.scores), replay.scores[index], tolerance):
        return "scores"
    probabilities = replay.probabilities[index]
    expected = probabilities if np.isfinite(probabilities).any() else np.empty(0)
    if not _close(np.array(answer.probabilities), expected, tolerance):
        return "probabilities"
    if model != subject.key:
        return f"answered by {model}"
    if answer.model.sha256 != subject.manifest.model_sha256:
        return f"answered by the sha256 {answer.model.sha256}"
    return ""


def _close(actual: NDArray[np.floating], expected: NDArray[np.floating], tolerance: float) -> bool:
    if actual.shape != expected.shape:
        return False
    return bool((np.abs(actual.astype(np.float64) - expected) <= tolerance).all())
