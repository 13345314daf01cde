"""What a service is, whatever transport calls it: named methods from messages to messages."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from server.errors import CallerGone, DeadlinePassed
from server.steps import Steps


class Call(Protocol):
    """One call as its transport knows it."""

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, on the clock of `time.monotonic`; None for never."""
        ...

    @property
    def queued_seconds(self) -> float | None:
        """How long the call waited for a thread; None in a stream, which has one of its own."""
        ...

    def is_cancelled(self) -> bool:
        """Whether the caller has gone."""
        ...


def _never(request: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Method:
    """One message in, one message out; `handle` answers or raises ServiceError.

    Work waits in the bounded queue of the models; anything else, such as a readiness question,
    must be quick and passes it by. `steps` is `handle` in the steps of `server.steps`, for a front
    that has several calls at hand. A method may read its requests in its own way, and answer by a
    message or by its bytes.
    """

    request_type: Any
    handle: Callable[[Any, Call], Any]
    is_work: bool = False
    is_brief: Callable[[Any], bool] = _never  # whether a request is answered faster than handed on
    steps: Callable[[Any, Call], Steps[Any]] | None = None
    parse: Callable[[bytes], Any] | None = None


@dataclass(frozen=True, slots=True)
class StreamMethod:
    """Messages in, messages out, in the same order; holds a thread while it lasts."""

    request_type: Any
    handle: Callable[[Iterator[Any], Call], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class WatchMethod:
    """One message in, and messages out whenever there is news; holds no thread.

    `subscribe(request, send)` may send at once; it returns what ends the subscription.
    """

    request_type: Any
    subscribe: Callable[[Any, Callable[[Any], None]], Callable[[], None]]


AnyMethod = Method | StreamMethod | WatchMethod


class Service(Protocol):
    """A set of methods under a full name such as `gurmukhi.v1.DigitService`."""

    @property
    def name(self) -> str: ...
    @property
    def methods(self) -> Mapping[str, AnyMethod]: ...


def encode(reply: Any) -> bytes:
    """The bytes of an answer, which may be them already."""
    encoded: bytes = reply if type(reply) is bytes else reply.SerializeToString()
    return encoded


def ensure_awaited(call: Call) -> None:
    """Drop work that nobody waits for; raises DeadlinePassed or CallerGone."""
    if call.deadline is not None and time.monotonic() >= call.deadline:
        raise DeadlinePassed("the deadline passed before the work was begun")
    if call.is_cancelled():
        raise CallerGone("the caller cancelled before the work was begun")
