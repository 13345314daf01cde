"""A well-behaved caller beside a trial: is it answered, rightly, and how fast?"""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final

import numpy as np

from gurmukhi.client import DigitClient
from gurmukhi.errors import CallError
from gurmukhi.synthetic import synthetic_digits

_PER_SECOND: Final = 100.0
_TIMEOUT_SECONDS: Final = 10.0


@dataclass(slots=True)
class Neighbour:
    """What the caller saw: when each call began, how long it took, and what went wrong."""

    began: list[float] = field(default_factory=list)  # on the clock of time.monotonic
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wrong: int = 0

    def latencies(self, spans: Sequence[tuple[float, float]]) -> list[float]:
        """The seconds of the calls that began within any of the spans."""
        return [
            seconds
            for began, seconds in zip(self.began, self.seconds, strict=True)
            if any(start <= began < end for start, end in spans)
        ]


def quantile(seconds: Sequence[float], share: float) -> float:
    """A quantile of latencies; 0 where there is none."""
    return float(np.quantile(seconds, share)) if seconds else 0.0


@contextmanager
def calling(target: str) -> Iterator[Neighbour]:
    """Call a server 100 times a second from a process of its own; full at the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_call, args=(target, theirs), daemon=True)
    process.start()
    seen = Neighbour()
    ours.recv()  # it has had its first answer
    try:
        yield seen
    finally:
        ours.send(None)
        seen.began, seen.seconds, seen.failures, seen.wrong = ours.recv()
        process.join()


def _call(target: str, pipe: Connection) -> None:
    images, _ = synthetic_digits(20, 93)
    began, seconds, failures, wrong = [], [], [], 0
    with DigitClient(target, timeout_seconds=_TIMEOUT_SECONDS, retries=False) as client:
        expected = [client.classify(image) for image in images]
        pipe.send(None)
        index = 0
        while not pipe.poll():
            at = index % len(images)
            started = time.monotonic()
            try:
                answer = client.classify(images[at])
            except CallError as error:
                failures.append(f"{error.code.name} at {started:.1f}: {error}")
            else:
                began.append(started)
                seconds.append(time.monotonic() - started)
                wrong += (answer.digit, answer.model, answer.scores) != (
                    expected[at].digit,
                    expected[at].model,
                    expected[at].scores,
                )
            index += 1
            time.sleep(max(0.0, started + 1 / _PER_SECOND - time.monotonic()))
    pipe.send((began, seconds, failures, wrong))
