"""Check the bundles against the data, and served labels, scores and accuracy against bundles."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from evaluator.replay import Replay, replay_singly
from evaluator.results import Fault, Result
from evaluator.session import Session, Subject
from gurmukhi.metrics import confusion_matrix
from gurmukhi.terminal import progress

# A sentence names at most this many images; the report names all.
NAMED: Final = 5


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
    origin, actual = subject.manifest.data, session.split.sha256
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
        hint = "set GURMUKHI_DATA_DIR, or name the folder with --data"
        if origin.source == "synthetic":
            hint = f"name them with --data synthetic:{origin.test_images}"
            if origin.test_images == len(session.split):
                hint = "the generator has changed since, fit again"
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
        replay = replayed(session, subject)
        yield labels_result(session, subject, replay)
        yield scores_result(session, subject, replay)


def replayed(session: Session, subject: Subject) -> Replay:
    """The answers on all images, sent one at a time when they are first wanted."""
    if subject.replay is None:
        images = session.split.images
        with progress(subject.key, len(images), quiet=session.settings.quiet) as shown:
            subject.replay = replay_singly(
                session.target, subject.name, subject.version, images, shown.advance
            )
    return subject.replay


def labels_result(
    session: Session, subject: Subject, replay: Replay, check: str = "labels", how: str = ""
) -> Result:
    """Hold replayed labels against the native ones."""
    offline, names = subject.offline.predictions, session.split.names
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


def scores_result(
    session: Session, subject: Subject, replay: Replay, check: str = "scores", how: str = ""
) -> Result:
    """Hold replayed scores against the native ones."""
    tolerance = subject.manifest.score_tolerance
    answered = np.flatnonzero(replay.answered)
    if not len(answered):
        return Result.skipped(check, subject.key, "no image was answered")
    native = subject.offline.scores[answered].astype(np.float64)
    off = np.abs(replay.scores[answered] - native).max(axis=1)  # (answered,)
    wrong = ~(off <= tolerance)  # so that NaN counts as wrong
    largest = float(np.max(off, initial=0.0, where=np.isfinite(off)))
    evidence = {"tolerance": tolerance, "largest_difference": largest}
    if wrong.any():
        names = [
            f"{session.split.names[answered[i]]} ({off[i]:.2g})" for i in np.flatnonzero(wrong)
        ]
        return Result.failed(
            check,
            subject.key,
            Fault.PARITY,
            f"{subject.key}{how}: the scores of {len(names)} of {len(answered)} images are off by "
            f"more than {tolerance:g}: {name_images(names)}",
            **evidence,
        )
    return Result.passed(
        check, subject.key, f"off by {largest:.2g} at most, {tolerance:g} allowed", **evidence
    )


def check_accuracy(session: Session) -> Iterator[Result]:
    """Whether accuracy and confusion matrix, computed from what was served, are the bundle's."""
    for subject in session.testable():
        replay, offline = replayed(session, subject), subject.offline
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


def name_images(images: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
    return ", ".join(images[:NAMED]) + more
