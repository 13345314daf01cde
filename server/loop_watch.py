"""Watch an event loop from a thread: one that stands still answers nobody, probes included."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

TICK_SECONDS: Final = 1.0
# Nothing on the loop should take a hundredth of a second; a busy machine may delay it by some.
MOST_MISSED: Final = 10

_log = logging.getLogger(__name__)


class LoopWatch:
    """Asks a loop at each tick to turn; calls `give_up` when it has missed too many in a row.

    Ticks are counted, not seconds: a process that was stopped and goes on has missed none.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        give_up: Callable[[], object],
        *,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self._loop = loop
        self._give_up = give_up
        self._tick = tick_seconds
        self._missed = 0
        self._thread_id = threading.get_ident()

    def start(self) -> None:
        """Begin; called on the loop's own thread."""
        threading.Thread(target=self._watch, name="loop-watch", daemon=True).start()

    def _watch(self) -> None:
        while self._missed < MOST_MISSED:
            self._missed += 1
            try:
                self._loop.call_soon_threadsafe(self._turned)
            except RuntimeError:  # it is closed: the process ends
                return
            time.sleep(self._tick)
        frame = sys._current_frames().get(self._thread_id)
        where = "".join(traceback.format_stack(frame)) if frame else "an unknown place"
        _log.critical("the event loop stands still, and the worker ends; it stood in\n%s", where)
        self._give_up()

    def _turned(self) -> None:
        self._missed = 0
