"""Calls of one program that wait to go together, and those that went."""

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import chain

from gurmukhi.answer import Classification


class Lane:
    """The calls that may go together."""

    __slots__ = (
        "batches",
        "had_no_company",
        "images_under_way",
        "is_scheduled",
        "under_way",
        "waiting",
    )

    def __init__(self) -> None:
        self.waiting: deque[WaitingCall] = deque()
        self.batches: set[Batch] = set()
        self.under_way = 0  # calls
        self.images_under_way = 0
        self.is_scheduled = False
        self.had_no_company = True  # the last that went; the next goes at once then

    def open_calls(self) -> Iterator["WaitingCall"]:
        """Those without an answer yet."""
        every = chain(self.waiting, *(batch.calls for batch in self.batches))
        return (call for call in every if not call.answer.done())


class Batch:
    """Calls that went together."""

    __slots__ = ("calls", "task")

    def __init__(self, task: asyncio.Task[None], calls: list["WaitingCall"]) -> None:
        self.task = task  # here, since the event loop itself holds it weakly
        self.calls = calls

    def end_if_left(self) -> None:
        """Cancel what nobody waits for any more."""
        if not self.task.done() and all(call.answer.done() for call in self.calls):
            self.task.cancel()


class WaitingCall:
    """One image of one caller."""

    __slots__ = ("answer", "batch", "deadline", "image")

    def __init__(
        self, image: bytes, answer: "asyncio.Future[Classification]", deadline: float
    ) -> None:
        self.image = image
        self.answer = answer
        self.deadline = deadline
        self.batch: Batch | None = None

    def fail(self, error: BaseException) -> None:
        if self.answer.done():
            return
        if isinstance(error, asyncio.CancelledError):
            self.answer.cancel()
        else:
            self.answer.set_exception(error)
