"""Check that batches, order and concurrency change no answer."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluator.load import Job, run_closed_loop, run_poisson
from evaluator.parity import labels_result, replayed, scores_result
from evaluator.replay import Replay, empty_replay, replay_batch
from evaluator.results import Outcome, Result
from evaluator.session import Session, Subject
from evaluator.target import SURE_BATCH
from gurmukhi.terminal import progress

BATCH_SIZES: Final = (2, 7, 32)


def check_batches(session: Session) -> Iterator[Result]:
    """Whether batches of 2, 7, 32 and all images, and another order, give the same answers."""
    count = len(session.split)
    order = np.random.default_rng(session.settings.seed).permutation(count)
    plans = [
        (f"in batches of {size}", size, np.arange(count)) for size in BATCH_SIZES if size < count
    ]
    plans.append((f"in one batch of {count}", count, np.arange(count)))
    plans.append(("shuffled in batches of 32", SURE_BATCH, order))
    for subject in session.testable():
        if not replayed(session, subject).is_complete:
            yield Result.skipped("batches", subject.key, "the labels were not replayed in full")
            continue
        yield from _batches_of(session, subject, plans)


def _batches_of(
    session: Session, subject: Subject, plans: list[tuple[str, int, NDArray[np.int64]]]
) -> Iterator[Result]:
    agreed = []
    for how, size, order in plans:
        replay = _replay_in_batches(session, subject, size, order)
        refusals = [why for why in replay.lost.values() if why.startswith("INVALID_ARGUMENT")]
        if refusals and size > SURE_BATCH:
            yield Result.not_offered("batches", subject.key, f"{how}: {refusals[0]}")
            continue
        result = hold(session, subject, replay, "batches", how)
        if result.outcome is Outcome.PASS:
            agreed.append(how)
        else:
            yield result
    if agreed:
        sentence = f"the same answers {', '.join(agreed)}"
        yield Result.passed("batches", subject.key, sentence)


def _replay_in_batches(
    session: Session, subject: Subject, size: int, order: NDArray[np.int64]
) -> Replay:
    replay = empty_replay(len(order))
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        replay_batch(
            session.target, subject.name, subject.version, session.split.images, indices, replay
        )
    return replay


def hold(session: Session, subject: Subject, replay: Replay, check: str, how: str) -> Result:
    """Hold answers got in another way against the bundle's: labels, then scores."""
    labels = labels_result(session, subject, replay, check, f", {how}")
    if labels.outcome is not Outcome.PASS:
        return labels
    return scores_result(session, subject, replay, check, f", {how}")


def check_load(session: Session) -> Iterator[Result]:
    """Whether answers under concurrent calls, models mixed, are those got one at a time."""
    settings = session.settings
    subjects = [one for one in session.testable() if replayed(session, one).is_complete]
    if not subjects:
        yield Result.skipped("load", session.target.address, "no labels were replayed in full")
        return
    rng = np.random.default_rng(settings.seed)
    for how, start in (
        (f"with {settings.concurrency} calls at a time", run_closed_loop),
        (f"under {settings.rate:g} arrivals a second", run_poisson),
    ):
        replays = {subject.key: empty_replay(len(session.split)) for subject in subjects}
        jobs = [
            Job(subject.name, subject.version, index, replays[subject.key])
            for subject in subjects
            for index in range(len(session.split))
        ]
        rng.shuffle(jobs)
        with progress(how, len(jobs), quiet=settings.quiet) as shown:
            start(session, jobs, rng, shown.advance)
        for subject in subjects:
            subject.under_load[how] = replays[subject.key]
            yield hold(session, subject, replays[subject.key], "load", how)
