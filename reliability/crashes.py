"""Kill and stop servers and workers while callers call."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gurmukhi.client import DigitClient
from gurmukhi.errors import CallError
from gurmukhi.synthetic import synthetic_digits
from reliability.figures import Figure
from reliability.service import serving, wait_until

TRIAL: Final = "crashes"
_IMAGES, _ = synthetic_digits(10, 94)
_CALLERS: Final = 4
# What a caller may be told of a server that is gone, and nothing else.
_GONE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})
_RECOVERY_SECONDS: Final = 60.0


class Callers:
    """Threads that call one target and hold each answer against the first one's."""

    def __init__(self, target: str, timeout_seconds: float = 5.0, *, retries: bool = True) -> None:
        self.codes: Counter[str] = Counter()
        self.wrong = 0
        self.last_failure = 0.0
        self._client = DigitClient(target, timeout_seconds=timeout_seconds, retries=retries)
        self._expected = [self._client.classify(image) for image in _IMAGES]
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(_CALLERS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        index = 0
        while not self._stopped.is_set():
            index = (index + 1) % len(_IMAGES)
            try:
                answer = self._client.classify(_IMAGES[index])
            except CallError as error:
                with self._lock:
                    self.codes[error.code.name] += 1
                    self.last_failure = time.monotonic()
                continue
            with self._lock:
                self.codes["OK"] += 1
                expected = self._expected[index]
                same = (answer.digit, answer.model, answer.scores) == (
                    expected.digit,
                    expected.model,
                    expected.scores,
                )
                self.wrong += not same

    @property
    def answered(self) -> int:
        return self.codes["OK"]

    def wait_for_answers(self, count: int, what: str) -> float:
        """Wait until so many more were answered; how long that took."""
        before = self.answered
        return wait_until(lambda: self.answered >= before + count, _RECOVERY_SECONDS, what)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def figures(self, trial: str, what: str) -> Iterator[Figure]:
        """That nothing wrong was answered, and how those were told who got no answer."""
        yield Figure.exactly(trial, f"{what}: wrong answers", self.wrong, 0)
        odd = sorted(set(self.codes) - _GONE - {"OK"})
        yield Figure.exactly(trial, f"{what}: other statuses than of absence", odd, [])


@contextmanager
def calling(
    target: str, timeout_seconds: float = 5.0, *, retries: bool = True
) -> Iterator[Callers]:
    """Call a target from several threads until the end."""
    callers = Callers(target, timeout_seconds, retries=retries)
    try:
        callers.wait_for_answers(20, "the first answers")
        yield callers
    finally:
        callers.stop()


def try_crashes(models: Path) -> Iterator[Figure]:
    """Each of the faults of a process, under load."""
    yield from _killed_worker(models)
    yield from _killed_server(models)
    yield from _stopped_server(models)


def _killed_worker(models: Path) -> Iterator[Figure]:
    what = "kill -9 of one of two workers"
    with serving(models, "--workers", "2") as service, calling(service.target) as callers:
        before = set(service.workers())
        os.kill(min(before), signal.SIGKILL)
        callers.wait_for_answers(50, what)
        while len(set(service.workers()) - {min(before)}) < len(before):
            callers.wait_for_answers(1, "another worker")
        said = "died with exit code -9" in service.log
    yield from callers.figures(TRIAL, what)
    lost = sum(callers.codes.values()) - callers.answered
    yield Figure.at_most(TRIAL, f"{what}: calls without an answer", lost, _CALLERS)
    yield Figure.exactly(TRIAL, f"{what}: the log says so", said, expected=True)


def _killed_server(models: Path) -> Iterator[Figure]:
    what = "kill -9 of one of two servers"
    with serving(models) as steady, serving(models) as victim:
        port = str(victim.port)
        target = f"ipv4:{steady.target},{victim.target}"
        with calling(target) as callers:
            victim.process.kill()
            victim.process.wait()
            callers.wait_for_answers(100, what)
            with serving(models, "--port", port) as again:
                seconds = wait_until(
                    lambda: _handled(again.metrics()) >= 20,
                    _RECOVERY_SECONDS,
                    "calls of the new one",
                )
    yield from callers.figures(TRIAL, what)
    lost = sum(callers.codes.values()) - callers.answered
    yield Figure.at_most(TRIAL, f"{what}: calls without an answer", lost, _CALLERS)
    yield Figure.at_most(TRIAL, f"{what}: back in the round after", seconds, 30, " s")


def _stopped_server(models: Path) -> Iterator[Figure]:
    """SIGSTOP: its connection stays open and nothing answers on it."""
    what = "SIGSTOP of one of two servers"
    with serving(models) as steady, serving(models) as victim:
        target = f"ipv4:{steady.target},{victim.target}"
        with calling(target, timeout_seconds=2.0) as callers:
            os.kill(victim.pid, signal.SIGSTOP)
            stopped = time.monotonic()
            # A dead connection is found out by its keepalive, and the calls of its share fail
            # by their deadline until then.
            quiet = wait_until(
                lambda: time.monotonic() - max(callers.last_failure, stopped) > 5.0,
                _RECOVERY_SECONDS + 30,
                "an end of failures",
            )
            os.kill(victim.pid, signal.SIGCONT)
            before = _handled(victim.metrics())
            wait_until(
                lambda: _handled(victim.metrics()) >= before + 20, _RECOVERY_SECONDS, "its return"
            )
    yield from callers.figures(TRIAL, what)
    yield Figure.at_most(TRIAL, f"{what}: last failed call after", quiet - 5.0, 60, " s")


def _handled(metrics: dict[str, float]) -> float:
    return sum(
        value
        for name, value in metrics.items()
        if name.startswith("grpc_server_handled_total")
        and 'grpc_code="OK"' in name
        and 'grpc_method="Classify"' in name
    )
