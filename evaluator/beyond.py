"""Go beyond the test set: endless synthetic digits, or any folder of labelled images.

There is no offline answer to hold a served one against, so only accuracy is measured. Images are
drawn and forgotten in blocks: a million take no more memory than a thousand.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from evaluator.replay import empty_replay, replay_batch
from evaluator.results import Fault, Result
from evaluator.session import Session, Subject
from evaluator.stream import Stream, Tally
from gurmukhi.errors import DataError
from gurmukhi.metrics import confusion_matrix
from gurmukhi.terminal import progress


def run_stream(session: Session, stream: Stream) -> bool:
    """Count the answers on a stream; return whether it was interrupted.

    Adds a result for each version to the session.
    """
    subjects, interrupted = session.testable(), False
    total = stream.count * len(subjects)
    started = time.monotonic()
    done = 0
    try:
        with (
            progress("images", total, quiet=session.settings.quiet) as shown,
            ThreadPoolExecutor(session.settings.concurrency) as pool,
        ):
            for images, labels in stream.blocks():
                for subject in subjects:
                    tally = session.tallies.setdefault(subject.key, Tally())
                    if subject.blocked:
                        continue
                    _count_block(session, pool, subject, tally, images, labels)
                    done += len(labels)
                    rate = done / max(time.monotonic() - started, 1e-9)
                    shown.advance(len(labels), f"{rate:,.0f} images/s")
    except KeyboardInterrupt:
        interrupted = True
    except DataError as error:  # a picture that cannot be read; what came before it is told
        session.results.append(
            Result.failed("data", stream.location, Fault.INPUT, f"--data: {error}")
        )
    session.results.extend(
        _result(subject, session.tallies.get(subject.key)) for subject in subjects
    )
    return interrupted


def _count_block(
    session: Session,
    pool: ThreadPoolExecutor,
    subject: Subject,
    tally: Tally,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> None:
    """Classify a block in batches, some at a time, and count the answers."""
    replay, batch = empty_replay(len(images)), session.settings.batch
    started = time.monotonic()
    for future in [
        pool.submit(
            replay_batch,
            session.target,
            subject.name,
            subject.version,
            images,
            np.arange(start, min(start + batch, len(images))),
            replay,
        )
        for start in range(0, len(images), batch)
    ]:
        future.result()
    tally.seconds += time.monotonic() - started
    answered = replay.answered
    if answered.any():
        tally.matrix += confusion_matrix(labels[answered], replay.digits[answered])
    else:
        subject.blocked = "no call of a whole block was answered"
    tally.lost += len(replay.lost)
    tally.malformed += len(replay.malformed)
    tally.why = tally.why or next(iter([*replay.malformed.values(), *replay.lost.values()]), "")


def _result(subject: Subject, tally: Tally | None) -> Result:
    if tally is None:
        return Result.skipped("accuracy", subject.key, "no image was sent")
    right, count = int(np.trace(tally.matrix)), int(tally.matrix.sum())
    if tally.malformed:
        sentence = f"{subject.key}: {tally.malformed} answers are malformed: {tally.why}"
        return Result.failed("accuracy", subject.key, Fault.PARITY, sentence)
    if tally.lost:
        sentence = f"{subject.key}: {tally.lost} images have no answer: {tally.why}"
        return Result.error("accuracy", subject.key, sentence)
    sentence = (
        f"{right}/{count} are right, {count / max(tally.seconds, 1e-9):,.0f} images/s; "
        "no offline answer exists to hold them against"
    )
    return Result.passed("accuracy", subject.key, sentence)
