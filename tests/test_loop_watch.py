"""An event loop that stands still is noticed, and one that only works hard is not."""

import asyncio
import threading
import time

import pytest

from server.loop_watch import MOST_MISSED, LoopWatch

_TICK = 0.02


def watched(block_seconds: float, times: int) -> bool:
    """Whether the watch gives up on a loop that is blocked so often for so long."""
    given_up = threading.Event()

    async def run() -> None:
        LoopWatch(asyncio.get_running_loop(), given_up.set, tick_seconds=_TICK).start()
        for _ in range(times):
            time.sleep(block_seconds)
            await asyncio.sleep(_TICK)

    asyncio.run(run())
    return given_up.is_set()


def test_a_loop_that_stands_still_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    assert watched(block_seconds=_TICK * MOST_MISSED * 3, times=1)
    assert "time.sleep(block_seconds)" in caplog.text  # where it stood


def test_a_loop_that_turns_now_and_then_is_not() -> None:
    assert not watched(block_seconds=_TICK * 2, times=10)
