"""Merge the concurrent calls of one program into batches, as a dataloader does.

A call that finds its way free is sent in the same turn of the event loop: at once where the last
had no company, else with those that are made in that turn. While as many calls as are allowed are
under way, others gather, and go together when one has come back. So nothing waits for company: one
task alone makes plain calls, and the more tasks there are the larger the batches.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import grpc

from gurmukhi.answer import Classification
from gurmukhi.errors import CallError
from gurmukhi.lanes import Batch, Lane, WaitingCall

# So few images are not shared among several calls: a call costs as much as ten of them.
_SHARED: Final = 16
# How a server names the image of a batch that it refuses: by the field's path.
_AT_FAULT: Final = re.compile(r"images\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Merging:
    """How far calls are merged."""

    max_images: int = 128  # in one call; a server takes 1,000 by default
    max_bytes: int = 1 << 19  # in one call; a server takes twice that by default
    max_calls: int = 2  # under way for one model: one is answered while the next is on its way
    max_waiting: int = 10_000  # past it a call fails with RESOURCE_EXHAUSTED at once


class Ask(NamedTuple):
    """What calls must have in common to go together."""

    model: str
    version: str
    top_k: int
    return_pixels: bool = False


Send: TypeAlias = Callable[[Ask, Sequence[bytes], float], Awaitable[list[Classification]]]


class Merger:
    """Sends encoded images by `send(ask, images, timeout_seconds)`, which raises CallError."""

    def __init__(self, target: str, send: Send, bounds: Merging) -> None:
        self._target = target
        self._send = send
        self._bounds = bounds
        self._lanes: dict[Ask, Lane] = {}
        self._waiting = 0
        self._alarm: asyncio.TimerHandle | None = None  # at the earliest deadline, or before it

    async def classify(self, ask: Ask, image: bytes, timeout_seconds: float) -> Classification:
        """One image's answer; raises CallError."""
        lane = self._lanes.get(ask)
        if lane is None:
            lane = self._lanes[ask] = Lane()
        if lane.had_no_company and not lane.under_way and not lane.waiting:
            return await self._classify_alone(ask, lane, image, timeout_seconds)
        if self._waiting >= self._bounds.max_waiting:
            raise CallError(
                self._target,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self._waiting} calls of this client wait already",
            )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        call = WaitingCall(image, loop.create_future(), deadline)
        lane.waiting.append(call)
        self._waiting += 1
        if not lane.is_scheduled and lane.under_way < self._bounds.max_calls:
            lane.is_scheduled = True
            loop.call_soon(self._flush, ask, lane)
        if self._alarm is None or deadline < self._alarm.when():
            self._set_alarm(loop, deadline)
        try:
            return await call.answer
        except asyncio.CancelledError:
            if call.batch:
                call.batch.end_if_left()
            raise

    async def _classify_alone(
        self, ask: Ask, lane: Lane, image: bytes, timeout_seconds: float
    ) -> Classification:
        lane.under_way += 1
        lane.images_under_way += 1
        try:
            (answer,) = await self._send(ask, [image], timeout_seconds)
            return answer
        finally:
            lane.under_way -= 1
            lane.images_under_way -= 1
            self._flush(ask, lane)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail the calls whose deadline has passed; one alarm for all costs a call nothing."""
        self._alarm, now, remaining = None, loop.time(), math.inf
        for lane in self._lanes.values():
            for call in lane.open_calls():
                if call.deadline <= now:
                    code = grpc.StatusCode.DEADLINE_EXCEEDED
                    call.fail(CallError(self._target, code, "Deadline Exceeded"))
                else:
                    remaining = min(remaining, call.deadline)
            for batch in lane.batches:
                batch.end_if_left()
        if remaining < math.inf:
            self._set_alarm(loop, remaining)

    def _flush(self, ask: Ask, lane: Lane) -> None:
        lane.is_scheduled = False
        while lane.under_way < self._bounds.max_calls:
            # Shared among the calls that may go, so that one is answered while another is made;
            # those under way count, lest one image have a call to itself beside all the others.
            images = len(lane.waiting) + lane.images_under_way
            calls = self._take(lane, max(_SHARED, math.ceil(images / self._bounds.max_calls)))
            if not calls:
                break
            lane.under_way += 1
            lane.images_under_way += len(calls)
            lane.had_no_company = len(calls) == 1
            task = asyncio.get_running_loop().create_task(self._answer(ask, calls))
            batch = Batch(task, calls)
            for call in calls:
                call.batch = batch
            lane.batches.add(batch)
            task.add_done_callback(partial(self._end, ask, lane, batch))
        is_idle = not lane.waiting and not lane.under_way
        if is_idle and lane.had_no_company and self._lanes.get(ask) is lane:
            del self._lanes[ask]  # as good as a new one, which may have its place already

    def _take(self, lane: Lane, most: int) -> list[WaitingCall]:
        """The calls that go next, as many as the bounds allow; those given up are dropped."""
        calls: list[WaitingCall] = []
        waiting, size = lane.waiting, 0
        most, had = min(most, self._bounds.max_images), len(waiting)
        while waiting and len(calls) < most:
            call = waiting[0]
            if not call.answer.done():
                size += len(call.image)
                if size > self._bounds.max_bytes and calls:
                    break
                calls.append(call)
            waiting.popleft()
        self._waiting -= had - len(waiting)
        return calls

    def _end(self, ask: Ask, lane: Lane, batch: Batch, task: "asyncio.Task[None]") -> None:
        # Not in the task itself: one that is cancelled at once never begins.
        lane.batches.discard(batch)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error:
            for call in batch.calls:
                call.fail(error)
        lane.under_way -= 1
        lane.images_under_way -= len(batch.calls)
        self._flush(ask, lane)

    async def _answer(self, ask: Ask, batch: list[WaitingCall]) -> None:
        """Give each call its answer or its error; what one image is refused for is its own."""
        now = asyncio.get_running_loop().time()
        try:
            answers = await self._send(
                ask, [call.image for call in batch], max(call.deadline for call in batch) - now
            )
        except CallError as error:
            if len(batch) == 1 or error.code != grpc.StatusCode.INVALID_ARGUMENT:
                for call in batch:
                    call.fail(CallError(self._target, error.code, error.details))
                return
            for part in _parts(batch, error.details):
                if waiting := [call for call in part if not call.answer.done()]:
                    await self._answer(ask, waiting)
            return
        for call, answer in zip(batch, answers, strict=True):
            if not call.answer.done():
                call.answer.set_result(answer)


def _parts(batch: list[WaitingCall], details: str) -> list[list[WaitingCall]]:
    """A refused batch again: the image at fault alone, so that its caller gets a plain call's
    error, and the others together; each alone where none is named."""
    found = _AT_FAULT.match(details)
    if found is None or int(found[1]) >= len(batch):
        return [[call] for call in batch]
    index = int(found[1])
    return [[batch[index]], batch[:index] + batch[index + 1 :]]
