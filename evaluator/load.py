"""Put calls to a target concurrently: as a closed loop, and as they would arrive by chance.

Source of the terms: Schroeder, Wierman, Harchol-Balter, "Open versus closed", NSDI 2006.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluator.replay import Replay, replay_one
from evaluator.session import Session

# Calls under way at most in the open loop. Past it a call waits here, and its wait is counted.
_OPEN_LOOP_THREADS: Final = 64


@dataclass(frozen=True, slots=True)
class Job:
    """One image to be classified by one model, and where the answer goes."""

    model: str
    version: str
    index: int
    replay: Replay


def run_closed_loop(
    session: Session, jobs: Sequence[Job], rng: np.random.Generator, advance: Callable[[], None]
) -> None:
    """Keep a fixed number of calls under way, each thread calling again once it is answered."""
    _run(session, jobs, session.settings.concurrency, None, advance)


def run_poisson(
    session: Session, jobs: Sequence[Job], rng: np.random.Generator, advance: Callable[[], None]
) -> None:
    """Start calls at exponential intervals; latency counts from the intended start."""
    due = np.cumsum(rng.exponential(1 / session.settings.rate, len(jobs)))  # seconds from now
    _run(session, jobs, _OPEN_LOOP_THREADS, due.tolist(), advance)


def _run(
    session: Session,
    jobs: Sequence[Job],
    threads: int,
    due: Sequence[float] | None,
    advance: Callable[[], None],
) -> None:
    lock = threading.Lock()
    begun = time.perf_counter()

    def work(job: Job, intended: float | None) -> None:
        replay_one(
            session.target, job.model, job.version, session.split.images, job.index, job.replay
        )
        if intended is not None and np.isfinite(job.replay.seconds[job.index]):
            job.replay.seconds[job.index] = time.perf_counter() - intended
        with lock:
            advance()

    pool = ThreadPoolExecutor(threads)
    try:
        futures = []
        for number, job in enumerate(jobs):
            intended = None if due is None else begun + due[number]
            if intended is not None:
                time.sleep(max(0.0, intended - time.perf_counter()))
            futures.append(pool.submit(work, job, intended))
        for future in futures:
            future.result()
    finally:  # also on Ctrl-C: what has not begun is dropped
        pool.shutdown(wait=True, cancel_futures=True)
