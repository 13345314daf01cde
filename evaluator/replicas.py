"""Check that every address behind a target serves the same files and gives the same answers."""

from collections.abc import Iterator

import numpy as np

from evaluator.parity import labels_result
from evaluator.reach import list_sha256, served_model
from evaluator.replay import empty_replay, replay_batch
from evaluator.results import Fault, Result
from evaluator.session import Session, Subject
from evaluator.target import SURE_BATCH, Target


def check_replicas(session: Session) -> Iterator[Result]:
    """Whether each further address is the equal of the first; a stale one is named."""
    others = [target for target in session.targets if target is not session.target]
    if not others:
        yield Result.skipped("replicas", session.target.address, "there is one address")
    for target in others:
        if target.address in session.unreached:
            yield Result.skipped("replicas", target.address, "was not reached")
            continue
        wrong = [result for result in _replica(session, target) if result.fault is not None]
        yield from wrong
        if not wrong:
            count = len(session.testable())
            sentence = f"serves the same {count} versions, with the same labels"
            yield Result.passed("replicas", target.address, sentence)


def _replica(session: Session, target: Target) -> Iterator[Result]:
    listed = list_sha256(target)
    for subject in session.testable():
        if subject.bundle is None:
            continue
        served = served_model(target, subject, listed, "replicas")
        if served.fault is None:
            yield _answers(session, target, subject)
        else:
            yield _stale(target, subject, served) if "stated" in served.evidence else served


def _stale(target: Target, subject: Subject, served: Result) -> Result:
    stated = sorted({str(one) for one in served.evidence["stated"].values()})
    return Result.failed(
        "replicas",
        target.address,
        Fault.PARITY,
        f"the replica {target.address} is stale or wrong: its {subject.key} has the sha256 "
        f"{', '.join(stated)}, the bundle's is {served.evidence['expected']}",
        **served.evidence,
    )


def _answers(session: Session, target: Target, subject: Subject) -> Result:
    replay = empty_replay(len(session.split))
    for start in range(0, len(session.split), SURE_BATCH):
        indices = np.arange(start, min(start + SURE_BATCH, len(session.split)))
        replay_batch(target, subject.name, subject.version, session.split.images, indices, replay)
    return labels_result(session, subject, replay, "replicas", f" of the replica {target.address}")
