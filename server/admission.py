"""How much work is taken in: a bounded queue, and a pool of threads for each kind of call.

Health, metadata and refusals have threads of their own, so that a full queue fails no probe; a
stream holds its thread while it lasts, so streams have theirs too. A call whose message has not
come yet holds neither a thread nor a place in the queue.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

from server.errors import Overloaded, ServiceError
from server.grpc_messages import Answer, receive
from server.idle_calls import IdleCalls
from server.steps import Steps, finish

# Control calls take microseconds; two threads keep one slow caller from blocking a probe.
_CONTROL_THREADS: Final = 2
# They are begun when they are needed, and idle but for the moments when a status changes.
_WATCH_THREADS: Final = 32
# So many calls may wait for their messages: to models as many as threads and queue hold, and these
# at least; to each of the other pools the second number. Each may have most of a message here,
# 1 MiB by default, so they are bounded; the oldest gives way, lest a few that never send anything
# keep out all others.
_LEAST_ARRIVING: Final = 128
_ARRIVING_ELSEWHERE: Final = 32

# So many calls share a run at most: of eight an image costs a quarter of a run alone, and with more
# the first would wait for the last.
_TOGETHER: Final = 8

_Task: TypeAlias = Answer | tuple[Callable[..., None], tuple[Any, ...]]
_NOTHING: Final[_Task] = ((lambda: None), ())

_log = logging.getLogger(__name__)


class Room:
    """So many calls at the same time, and no more."""

    def __init__(self, size: int, what: str) -> None:
        self._size = size
        self._what = what
        self._taken = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        """Take a place; raises Overloaded where none is left."""
        with self._lock:
            if self._taken < self._size:
                self._taken += 1
                return
        raise self._overloaded()

    def expect_place(self) -> None:
        """Take none, but raise Overloaded where none is left."""
        if self._taken >= self._size:
            raise self._overloaded()

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._taken -= 1

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"{self._size} {self._what} are under way already")


class PendingCall(ABC):
    """A call between its arrival and its end, as the pools see it."""

    __slots__ = ()
    has_one_message = True  # its thread is given to it when that message has come
    has_one_answer = True  # which comes by `steps`

    def steps(self, data: bytes, context: Any) -> Steps[bytes]:
        """Its one answer."""
        raise NotImplementedError

    @abstractmethod
    def admit(self) -> "CallPool":
        """Called when its message has come: the pool that it is to run on."""

    @abstractmethod
    def dismiss(self) -> "CallPool":
        """Called when it has ended without its message: the pool that it is to end on."""

    @abstractmethod
    def refuse(self, error: ServiceError) -> "CallPool":
        """Have its handler end it with an error: the pool that it is to run on."""

    @abstractmethod
    def end(self, rpc_event: Any) -> None:
        """Called when its thread is done with it, whether or not it ever reached a handler."""


class CallPool(ThreadPoolExecutor):
    """Threads for calls, but for one begun when needed; tells each call when its thread is done.

    grpcio submits a function of its own with the handler among its arguments. A call whose caller
    has gone by the time that it gets a thread never reaches its handler, and only the pool knows.

    It is an executor in that grpcio takes nothing else. The queue and the threads are its own: the
    library's make a future for each call, which nobody looks at and which costs as much as parsing,
    answering and counting the call.
    """

    def __init__(self, threads: int, name: str, arriving: IdleCalls) -> None:
        super().__init__(threads)
        self._limit = threads
        self._name = name
        self.arriving = arriving
        self._waiting: SimpleQueue[_Task | None] = SimpleQueue()
        self._begun: list[threading.Thread] = []
        self._under_way = 0
        self._lock = threading.Lock()
        self._begin()  # one at least, whatever runs short later

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run a call, once its message has come, or a function; grpcio does without a future."""
        if len(args) < 4 or not isinstance(call := args[3], PendingCall):
            self.run(fn, *args)
        elif call.has_one_message:
            self._run_when_received(call, args[1], fn, args)
        else:
            self.run(_run, call, args[1], fn, args)

    def run(self, function: Callable[..., None], *args: Any) -> None:
        """Have a thread call a function."""
        self.put((function, args))

    def put(self, task: _Task) -> None:
        """Have a thread do a task."""
        with self._lock:
            self._under_way += 1
            if len(self._begun) < min(self._under_way, self._limit):
                # Where none can be had, since memory or processes are limited, those that run
                # take the call: an error here would end grpcio's serving thread, and all calls.
                with suppress(RuntimeError, MemoryError):
                    self._begin()
        self._waiting.put(task)

    def _begin(self) -> None:
        name = f"{self._name}_{len(self._begun)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        self._begun.append(thread)

    def close(self) -> None:
        """End the threads, each when it is done with its call."""
        for _ in self._begun:
            self._waiting.put(None)
        for thread in self._begun:
            thread.join()

    def _work(self) -> None:
        task = self._waiting.get()
        while task is not None:
            done = 1
            following: _Task | None = _NOTHING
            if isinstance(task, Answer):
                done, following = self._answer(task)
            else:
                _do(*task)
            del task  # nothing of a call outlives it
            with self._lock:
                self._under_way -= done
            task = self._waiting.get() if following is _NOTHING else following
            del following

    def _answer(self, first: Answer) -> tuple[int, _Task | None]:
        """Answer a call, and with it those that wait behind it, by one run where they can share it.

        Returns how many there were, and what came after them where that is something else. None
        waits for one that takes long to read: that goes when the others are done.
        """
        begun: list[Answer] = []
        answer, count = first, 1
        while answer.go_on():
            if answer.run is None:
                finish(begun)
                begun = [answer]
                break
            begun.append(answer)
            if len(begun) == _TOGETHER or self._waiting.empty():
                break
            try:
                following = self._waiting.get_nowait()
            except Empty:  # another thread was first
                break
            if not isinstance(following, Answer):
                finish(begun)
                return count, following
            answer, count = following, count + 1
        finish(begun)
        return count, _NOTHING

    def _run_when_received(
        self, call: PendingCall, event: Any, fn: Any, args: tuple[Any, ...]
    ) -> None:
        """Give a call a thread once its one message is here.

        grpcio would have the thread wait for it, and a caller who sends headers and no message
        could hold every thread for as long as it pleases.
        """
        handler, _, state, behavior, await_message, *rest = args

        def received(message: bytes | None) -> None:
            if not self.arriving.discard(call):
                return
            if message is not None and call.has_one_answer:
                pool = call.admit()  # elsewhere where it is refused
                pool.put(Answer(event, state, message, call.steps, call.end))
                return
            # Where there is none, grpcio's own way to wait ends the call as it should. That takes
            # no place: else calls that are reset at once would keep out those that ask something.
            pool = call.dismiss() if message is None else call.admit()
            wait = await_message if message is None else lambda: message
            pool.run(_run, call, event, fn, (handler, event, state, behavior, wait, *rest))

        def give_up(error: ServiceError) -> None:
            pool = call.refuse(error)
            ending = (handler, event, state, behavior, lambda: b"", *rest)
            pool.run(_run, call, event, fn, ending)

        self.arriving.add(call, give_up)
        receive(event.call, state, received)


def _do(function: Callable[..., None], args: tuple[Any, ...]) -> None:
    try:
        function(*args)
    except Exception:  # noqa: BLE001 - a thread of the pool goes on
        _log.exception("a call failed outside its handler")


def _run(call: PendingCall, event: Any, fn: Any, args: tuple[Any, ...]) -> None:
    try:
        fn(*args)
    finally:
        call.end(event)


class Admission:
    """The rooms and the pools of one server, and the streams and watchers that only wait."""

    def __init__(self, *, threads: int, queue: int, streams: int) -> None:
        self.idle = IdleCalls()
        self._pools: list[CallPool] = []
        self.work = Room(threads + queue, "calls")
        self.streams = Room(streams, "streams")
        self.work_pool = self._pool(threads, "work", max(_LEAST_ARRIVING, threads + queue))
        self.control_pool = self._pool(_CONTROL_THREADS, "control")
        self.health_pool = self._pool(_CONTROL_THREADS, "health")
        # A watcher that does not read what it is sent holds its thread, and no probe's.
        self.watch_pool = self._pool(_WATCH_THREADS, "watch")
        self.refusal_pool = self._pool(1, "refusal")
        self.stream_pool = self._pool(streams, "stream")

    def close(self) -> None:
        """Wait for the calls that are still under way, and end the threads."""
        for pool in self._pools:
            pool.close()

    def drain(self) -> None:
        """End the calls that only wait, and from now on any that is about to."""
        self.idle.drain()
        for pool in self._pools:
            pool.arriving.drain()

    def _pool(self, threads: int, name: str, arriving: int = _ARRIVING_ELSEWHERE) -> CallPool:
        pool = CallPool(threads, name, IdleCalls(arriving))
        self._pools.append(pool)
        return pool
