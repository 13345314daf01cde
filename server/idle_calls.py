"""Calls that wait for their callers: a drain ends them, since it would else wait for them too."""

import threading
from collections.abc import Callable, Hashable

from server.errors import NotReady, Overloaded, ServiceError

End = Callable[[ServiceError], None]


class IdleCalls:
    """The calls in which nothing is under way, each with what ends it by an error.

    Where they are `most`, the oldest makes room for another.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._ends: dict[Hashable, End] = {}
        self._is_draining = False

    def add(self, call: Hashable, end: End) -> None:
        """A call begins to wait; it is ended at once where a drain has begun."""
        reason: ServiceError = NotReady("the server is stopping")
        with self._lock:
            if not self._is_draining:
                self._ends[call] = end
                if self._most is None or len(self._ends) <= self._most:
                    return
                end = self._ends.pop(next(iter(self._ends)))
                reason = Overloaded(
                    f"its message has not come, and {self._most} calls are waiting for theirs"
                )
        end(reason)

    def discard(self, call: Hashable) -> bool:
        """A call waits no longer; False where it is being ended."""
        with self._lock:
            return self._ends.pop(call, None) is not None

    def drain(self) -> None:
        """End those that wait, and from now on any that is about to."""
        with self._lock:
            self._is_draining = True
            ends = list(self._ends.values())
            self._ends.clear()
        for end in ends:
            end(NotReady("the server is stopping"))
