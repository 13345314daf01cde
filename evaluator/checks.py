"""The checks that need one address and one call at a time, in the order they are made."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import grpc
import numpy as np
from numpy.typing import NDArray

from evaluator.replay import Replay, replay_singly
from evaluator.results import Fault, Outcome, Result
from evaluator.session import Session, Subject
from evaluator.target import Target
from evaluator.wire import AnswerError
from gurmukhi.client import Classification
from gurmukhi.errors import CallError
from gurmukhi.labels import GLYPHS
from gurmukhi.metrics import confusion_matrix
from gurmukhi.terminal import progress

# A sentence names at most this many images; the report names all.
NAMED: Final = 5
SHA256_PROPERTY: Final = "sha256"


def check_reach(session: Session) -> Iterator[Result]:
    """Whether the target lives, is ready, says so on every road, and serves each version."""
    reached = reach(session.target)
    yield reached
    if reached.outcome is Outcome.ERROR:
        for subject in session.subjects:
            subject.blocked = f"{session.target.address} was not reached"
        return
    for subject in session.subjects:
        yield _model_ready(session.target, subject)


def reach(target: Target) -> Result:
    """Whether one address lives and is ready, and its health service agrees."""
    try:
        live, ready = target.is_live(), target.is_ready()
    except CallError as error:
        return Result.error("reach", target.address, f"cannot be reached: {error}")
    health = _health(target, "")
    said = {"ServerLive": live, "ServerReady": ready, "grpc.health.v1": health or "not offered"}
    evidence = {"said": said}
    if not live or not ready or health not in ("SERVING", ""):
        words = f"ServerLive {live}, ServerReady {ready}, health {health or 'not offered'}"
        return Result.failed(
            "reach",
            target.address,
            Fault.INFRASTRUCTURE,
            f"{target.address} is not ready on every road: {words}",
            **evidence,
        )
    return Result.passed("reach", target.address, "lives and is ready", **evidence)


def _health(target: Target, service: str) -> str:
    """The health service's word; "" where it is not offered or does not know the service."""
    try:
        return target.health(service)
    except CallError as error:
        if error.code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND):
            return ""
        return error.code.name


def _model_ready(target: Target, subject: Subject) -> Result:
    try:
        ready = target.is_model_ready(subject.name, subject.version)
    except CallError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            subject.blocked = "not served"
            sentence = f"{subject.key} is in the repository, and the target does not know it"
            return Result.failed("reach", subject.key, Fault.PARITY, sentence)
        subject.blocked = "ModelReady failed"
        return Result.error("reach", subject.key, f"ModelReady of {subject.key}: {error}")
    health = _health(target, f"model/{subject.name}")
    if not ready or health not in ("SERVING", ""):
        subject.blocked = "not ready"
        sentence = f"{subject.key} is not ready: ModelReady {ready}, health {health or 'no word'}"
        return Result.failed("reach", subject.key, Fault.INFRASTRUCTURE, sentence)
    return Result.passed("reach", subject.key, "is ready")


def check_model(session: Session) -> Iterator[Result]:
    """Whether the model files that are served are the bundles'."""
    listed = _listed(session.target)
    for subject in session.testable():
        if subject.bundle is None:
            yield Result.skipped("model", subject.key, "the bundle cannot be read")
            continue
        yield served_model(session.target, subject, listed)


def _listed(target: Target) -> dict[str, str] | CallError:
    """name:version -> sha256 of what DigitService lists."""
    try:
        return {f"{one.name}:{one.version}": one.sha256 for one in target.list_models()}
    except CallError as error:
        return error


def served_model(
    target: Target, subject: Subject, listed: dict[str, str] | CallError | None = None
) -> Result:
    """Hold the sha256 that one address states, by both APIs, against the bundle's."""
    assert subject.bundle is not None  # noqa: S101 - callers leave out what cannot be read
    listed = _listed(target) if listed is None else listed
    expected = subject.bundle.manifest.model_sha256
    try:
        properties = target.metadata(subject.name, subject.version).properties
    except CallError as error:
        return Result.error("model", subject.key, f"ModelMetadata of {subject.key}: {error}")
    stated: dict[str, str] = {}
    if SHA256_PROPERTY in properties:
        stated["ModelMetadata"] = properties[SHA256_PROPERTY]
    if isinstance(listed, dict):
        stated["ListModels"] = listed.get(subject.key, "not listed")
    elif listed.code is not grpc.StatusCode.UNIMPLEMENTED:
        return Result.error("model", subject.key, f"ListModels: {listed}")
    if not stated:
        return Result.not_offered("model", subject.key, "the target states no sha256 of its models")
    subject.served_sha256 = next(iter(stated.values()))
    wrong = {road: actual for road, actual in stated.items() if actual != expected}
    if wrong:
        road, actual = next(iter(wrong.items()))
        return Result.failed(
            "model",
            subject.key,
            Fault.PARITY,
            f"{target.address} serves another {subject.key}: its sha256 is {actual} "
            f"by {road}, the bundle's {expected}",
            expected=expected,
            stated=stated,
        )
    return Result.passed("model", subject.key, f"sha256 {expected[:12]}… is the bundle's")


def check_data(session: Session) -> Iterator[Result]:
    """Whether each bundle is whole, and was evaluated on the images at hand."""
    for subject in session.subjects:
        result = _data_of(session, subject)
        if result.fault is not None:
            subject.blocked = subject.blocked or "its bundle does not go with the data"
        yield result


def _data_of(session: Session, subject: Subject) -> Result:
    if subject.bundle is None or subject.evaluation is None:
        return Result.failed("data", subject.key, Fault.INPUT, subject.fault)
    origin, actual = subject.bundle.manifest.data, session.split.sha256
    if subject.evaluation.data_sha256 != origin.test_sha256:
        return Result.failed(
            "data",
            subject.key,
            Fault.INPUT,
            f"{subject.bundle.folder}: evaluation.json is of data "
            f"{subject.evaluation.data_sha256}, the manifest of {origin.test_sha256}",
        )
    if actual != origin.test_sha256:
        at_hand = session.source.kind
        hint = (
            "set GURMUKHI_DATA_DIR, or name the folder with --data"
            if origin.source != "synthetic"
            else "name them with --data synthetic"
        )
        return Result.failed(
            "data",
            subject.key,
            Fault.INPUT,
            f"{subject.key} was evaluated on {origin.source} digits ({origin.test_images} images, "
            f"sha256 {origin.test_sha256}), the data at hand is {at_hand} "
            f"({len(session.split)} images, sha256 {actual}): {hint}",
            expected=origin.test_sha256,
            actual=actual,
        )
    return Result.passed("data", subject.key, f"whole, and of these {len(session.split)} images")


def check_labels(session: Session) -> Iterator[Result]:
    """Whether each image, sent alone, gets the native model's label and scores."""
    for subject in session.testable():
        if subject.bundle is None or subject.evaluation is None:
            yield Result.skipped("labels", subject.key, "the bundle cannot be read")
            continue
        images = session.split.images
        with progress(subject.key, len(images), quiet=session.quiet) as shown:
            replay = replay_singly(
                session.target, subject.name, subject.version, images, shown.advance
            )
        subject.replay = replay
        yield labels_result(session, subject, replay)
        yield _scores_result(session, subject, replay)


def labels_result(
    session: Session, subject: Subject, replay: Replay, check: str = "labels", how: str = ""
) -> Result:
    """Hold replayed labels against the native ones."""
    assert subject.evaluation is not None  # noqa: S101 - callers leave out what cannot be read
    offline, names = subject.evaluation.predictions, session.split.names
    differing = np.flatnonzero(replay.answered & (replay.digits != offline))
    evidence: dict[str, Any] = {
        "images": [
            {
                "image": names[i],
                "true": int(session.split.labels[i]),
                "offline": int(offline[i]),
                "served": int(replay.digits[i]),
            }
            for i in differing
        ],
        "malformed": {names[i]: why for i, why in replay.malformed.items()},
        "lost": {names[i]: why for i, why in replay.lost.items()},
    }
    key, count = f"{subject.key}{how}", len(names)
    lost = f"; {len(replay.lost)} calls were lost" if replay.lost else ""
    if replay.malformed:
        index, why = next(iter(replay.malformed.items()))
        sentence = f"{key}: {len(replay.malformed)} answers are malformed: {names[index]}: {why}"
        return Result.failed(check, subject.key, Fault.PARITY, sentence + lost, **evidence)
    if len(differing):
        named = name_images(
            [f"{names[i]} (offline {offline[i]}, served {replay.digits[i]})" for i in differing]
        )
        sentence = f"{key}: {len(differing)} of {count} labels differ from the bundle's: {named}"
        return Result.failed(check, subject.key, Fault.PARITY, sentence + lost, **evidence)
    if replay.lost:
        index, why = next(iter(replay.lost.items()))
        sentence = f"{key}: {len(replay.lost)} of {count} calls were lost: {names[index]}: {why}"
        return Result.error(check, subject.key, sentence, **evidence)
    return Result.passed(check, subject.key, f"all {count} labels are the bundle's")


def _scores_result(session: Session, subject: Subject, replay: Replay) -> Result:
    assert subject.bundle is not None  # noqa: S101 - callers leave out what cannot be read
    assert subject.evaluation is not None  # noqa: S101
    tolerance = subject.bundle.manifest.score_tolerance
    answered = np.flatnonzero(replay.answered)
    if not len(answered):
        return Result.skipped("scores", subject.key, "no image was answered")
    native = subject.evaluation.scores[answered].astype(np.float64)
    off = np.abs(replay.scores[answered] - native).max(axis=1)  # (answered,)
    wrong = ~(off <= tolerance)  # so that NaN counts as wrong
    largest = float(np.max(off, initial=0.0, where=np.isfinite(off)))
    evidence = {"tolerance": tolerance, "largest_difference": largest}
    if wrong.any():
        names = [
            f"{session.split.names[answered[i]]} ({off[i]:.2g})" for i in np.flatnonzero(wrong)
        ]
        return Result.failed(
            "scores",
            subject.key,
            Fault.PARITY,
            f"{subject.key}: the scores of {len(names)} of {len(answered)} images are off by more "
            f"than {tolerance:g}: {name_images(names)}",
            **evidence,
        )
    return Result.passed(
        "scores", subject.key, f"off by {largest:.2g} at most, {tolerance:g} allowed", **evidence
    )


def check_accuracy(session: Session) -> Iterator[Result]:
    """Whether accuracy and confusion matrix, computed from what was served, are the bundle's."""
    for subject in session.testable():
        replay, offline = subject.replay, subject.evaluation
        if replay is None or offline is None:
            yield Result.skipped("accuracy", subject.key, "the labels were not replayed")
            continue
        if not replay.is_complete:
            missing = int((~replay.answered).sum())
            sentence = f"{subject.key}: no accuracy to state, {missing} images have no answer"
            fault = Fault.PARITY if replay.malformed else Fault.INFRASTRUCTURE
            yield Result.error("accuracy", subject.key, sentence, fault)
            continue
        labels = session.split.labels
        served = confusion_matrix(labels, replay.digits)
        right, expected = int(np.trace(served)), int(np.trace(offline.confusion_matrix))
        cells = int((served != offline.confusion_matrix).sum())
        if cells:
            sentence = (
                f"{subject.key}: {right} of {len(labels)} served answers are right, {expected} "
                f"offline; {cells} cells of the confusion matrix differ"
            )
            yield Result.failed("accuracy", subject.key, Fault.PARITY, sentence)
        else:
            yield Result.passed(
                "accuracy", subject.key, f"{right}/{len(labels)}, with the same confusion matrix"
            )


def check_apis(session: Session) -> Iterator[Result]:
    """Whether typed contents and DigitService give the answers that raw contents gave."""
    for subject in session.testable():
        if subject.replay is None or not subject.replay.is_complete:
            yield Result.skipped("apis", subject.key, "the labels were not replayed in full")
            continue
        yield _typed_result(session, subject, subject.replay)
        yield _digit_service_result(session, subject, subject.replay)


def _typed_result(session: Session, subject: Subject, replay: Replay) -> Result:
    assert subject.bundle is not None  # noqa: S101 - it was replayed
    tolerance = subject.bundle.manifest.score_tolerance
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


def _digit_service_result(session: Session, subject: Subject, replay: Replay) -> Result:
    assert subject.bundle is not None  # noqa: S101 - it was replayed
    wrong = []
    for index, name in enumerate(session.split.names):
        try:
            answer = session.target.classify(
                session.split.images[index], subject.name, subject.version
            )
        except CallError as error:
            if error.code is grpc.StatusCode.UNIMPLEMENTED:
                return Result.not_offered(
                    "apis", subject.key, "the target has no gurmukhi.v1.DigitService"
                )
            return Result.error("apis", subject.key, f"{subject.key}, Classify: {name}: {error}")
        if why := _disagreement(answer, subject, replay, index):
            wrong.append(f"{name} ({why})")
    if wrong:
        sentence = f"{subject.key}: Classify and ModelInfer disagree on {name_images(wrong)}"
        return Result.failed("apis", subject.key, Fault.PARITY, sentence, images=wrong)
    return Result.passed("apis", subject.key, "Classify and ModelInfer agree")


def _disagreement(answer: Classification, subject: Subject, replay: Replay, index: int) -> str:
    """In what a classification differs from the replay and the bundle; "" where in nothing."""
    assert subject.bundle is not None  # noqa: S101 - it was replayed
    tolerance = subject.bundle.manifest.score_tolerance
    digit = int(replay.digits[index])
    model = f"{answer.model.name}:{answer.model.version}"
    if answer.digit != digit:
        return f"ModelInfer {digit}, Classify {answer.digit}"
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
    if answer.model.sha256 != subject.bundle.manifest.model_sha256:
        return f"answered by the sha256 {answer.model.sha256}"
    return ""


def _close(actual: NDArray[np.floating], expected: NDArray[np.floating], tolerance: float) -> bool:
    if actual.shape != expected.shape:
        return False
    return bool((np.abs(actual.astype(np.float64) - expected) <= tolerance).all())


def name_images(images: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
    return ", ".join(images[:NAMED]) + more
