"""Tasks for the tests of workers: a process that is spawned imports them from here."""

import os
import signal
import time
from pathlib import Path

from gurmukhi.errors import ParityError
from trainer.workers import Tell


def double(task: int, tell: Tell) -> int:
    tell(f"doubling {task}")
    return 2 * task


def fail(task: int, tell: Tell) -> int:
    raise ParityError(f"task {task} differs")


def die_by_signal(task: int, tell: Tell) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return task


def leave(task: int, tell: Tell) -> int:
    os._exit(7)


def wait_long(task: Path, tell: Tell) -> None:
    """Say by a file which process this is, and stay."""
    (task / str(os.getpid())).touch()
    tell("waiting")
    time.sleep(300)


def threads_of_libraries(task: str, tell: Tell) -> str:
    return os.environ[task]


def is_interruptible(task: None, tell: Tell) -> bool:
    return signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
