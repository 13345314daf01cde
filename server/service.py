"""What a service is, whatever transport calls it: named methods from a message to a message."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from server.errors import CallerGone, DeadlinePassed


class Call(Protocol):
    """One call as its transport knows it."""

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, on the clock of `time.monotonic`; None for never."""
        ...

    @property
    def queued_seconds(self) -> float:
        """How long the call waited for a thread."""
        ...

    def is_cancelled(self) -> bool:
        """Whether the caller has gone."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """A unary method: the type of its request, and what answers it or raises ServiceError."""

    request_type: Any
    handle: Callable[[Any, Call], Any]


class Service(Protocol):
    """A set of methods under a full name such as `gurmukhi.v1.DigitService`."""

    @property
    def name(self) -> str: ...
    @property
    def methods(self) -> Mapping[str, Method]: ...


def ensure_awaited(call: Call) -> None:
    """Drop work that nobody waits for; raises DeadlinePassed or CallerGone."""
    if call.deadline is not None and time.monotonic() >= call.deadline:
        raise DeadlinePassed("the deadline passed before the work was begun")
    if call.is_cancelled():
        raise CallerGone("the caller cancelled before the work was begun")
