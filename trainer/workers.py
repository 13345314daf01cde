"""Run tasks in processes of their own, a few at a time, with word of how they get on."""

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, ClassVar, Final, TypeVar

from gurmukhi.errors import GurmukhiError
from trainer.imports import lasting_imports

Task = TypeVar("Task")
Result = TypeVar("Result")
Tell = Callable[[Any], None]

# Each worker computes on one thread: two workers on two cores then do not compete, and torch's
# sums are always in the same order.
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(GurmukhiError):
    """A worker process ended before its task did; too little memory is the usual cause."""

    exit_code: ClassVar[int] = 1


def run_tasks(
    function: Callable[[Task, Tell], Result],
    tasks: Iterable[Task],
    *,
    jobs: int,
    on_word: Callable[[Task, Any], None],
) -> Iterator[tuple[Task, Result]]:
    """Call `function(task, tell)` for each task in `jobs` processes; yield results as they come.

    What a task tells reaches `on_word` here. An error in a task is raised here, and WorkerError
    where a process died; leaving the iteration early, by an error or an interrupt, ends the
    processes.
    """
    waiting, pickled = deque(tasks), pickle.dumps(function)
    context = multiprocessing.get_context("spawn")
    workers: dict[Any, tuple[Any, Any]] = {}  # connection -> process, the task that it has
    try:
        for _ in range(min(jobs, len(waiting))):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, pickled), daemon=True)
            with _uninterrupted():
                with _one_thread():
                    process.start()
                workers[here] = (process, None)
            there.close()
        # Not before all are started: a task may be more than the pipe takes before it is read,
        # and that is when the worker has imported its libraries.
        for here in list(workers):
            _give(workers, here, waiting)
        while workers:
            for connection in wait(list(workers)):
                process, task = workers[connection]
                kind, value = _receive(connection, process)
                if kind == "word":
                    on_word(task, value)
                    continue
                if kind == "error":
                    raise value
                _give(workers, connection, waiting)
                yield task, value
    finally:
        for connection, (process, _) in workers.items():
            process.terminate()
            process.join()
            connection.close()


def _give(workers: dict[Any, tuple[Any, Any]], connection: Any, waiting: deque[Any]) -> None:
    """Hand a worker its next task, or send it home."""
    process, _ = workers[connection]
    if waiting:
        task = waiting.popleft()
        workers[connection] = (process, task)
        try:
            connection.send(task)
        except OSError as error:  # nobody is there to read it
            raise _death_of(process) from error
        return
    connection.close()  # its end of the pipe closes, and it returns
    del workers[connection]
    process.join()


def _receive(connection: Any, process: Any) -> tuple[str, Any]:
    try:
        kind, value = connection.recv()
    except (EOFError, OSError) as error:
        raise _death_of(process) from error
    return kind, value


def _death_of(process: Any) -> WorkerError:
    process.join()
    code = process.exitcode
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return WorkerError(f"a worker process ended {how} before its task did")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until the block has ended; processes started in it never see one.

    A process inherits the mask, so it is spared even while it imports. The mask does not do for
    this process: a thread of NumPy's may get the signal, and a start that is left half-way
    leaves a process without its task.
    """
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    # The first start would start this too, and that unblocks the signal again.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if received and before not in (signal.SIG_IGN, None):
        signal.raise_signal(signal.SIGINT)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have processes that are started inside compute on one thread."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name in _THREAD_VARIABLES:
            del os.environ[name]
            if name in before:
                os.environ[name] = before[name]


def _work(connection: Connection, pickled: bytes) -> None:
    with lasting_imports():  # those of the function's module
        function: Callable[[Any, Tell], Any] = pickle.loads(pickled)  # noqa: S301 - our parent's
    with suppress(EOFError, OSError):  # the parent has gone, or has no more tasks
        while True:
            task = connection.recv()
            try:
                result = function(task, lambda word: connection.send(("word", word)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
                connection.send(("error", error))
                return
            connection.send(("result", result))
