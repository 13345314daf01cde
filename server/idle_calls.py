"""Calls that wait for their callers: a drain ends them, since it would else wait for them too."""

import threading
from collections.abc import Callable, Hashable


class IdleCalls:
    """The calls in which nothing is under way, each with what ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[Hashable, Callable[[], None]] = {}
        self._has_ended = False

    def add(self, call: Hashable, end: Callable[[], None]) -> None:
        """A call begins to wait; it is ended at once where the others have been."""
        with self._lock:
            if not self._has_ended:
                self._ends[call] = end
                return
        end()

    def discard(self, call: Hashable) -> bool:
        """A call waits no longer; False where it is being ended."""
        with self._lock:
            return self._ends.pop(call, None) is not None

    def end(self) -> None:
        """End those that wait, and from now on any that is about to."""
        with self._lock:
            self._has_ended = True
            ends = list(self._ends.values())
            self._ends.clear()
        for end in ends:
            end()
