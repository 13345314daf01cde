"""One gRPC call from its arrival to its end: admitted, parsed, answered, counted once.

Each call has a handler of its own, so that its outcome is counted exactly once, by whichever comes
first: its answer, its caller's going, or its end without ever having reached a handler.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc

from server.admission import CallPool, PendingCall, Room
from server.errors import Overloaded, ServiceError
from server.grpc_messages import Messages
from server.grpc_status import code_of, status_of
from server.routes import DROPPED, Desk, Route, goes_for_deadline
from server.service import encode, ensure_awaited
from server.steps import Steps, walk

_log = logging.getLogger(__name__)


class Call(PendingCall):
    """A unary call; also `server.service.Call` for the service that answers it."""

    __slots__ = (
        "_came",
        "_context",
        "_desk",
        "_holds_place",
        "_outcome",
        "_refusal",
        "_room",
        "arrived",
        "deadline",
        "experimental_thread_pool",
        "queued_seconds",
        "route",
    )

    def __init__(self, route: Route, desk: Desk, pool: CallPool, room: Room | None) -> None:
        self.route = route
        self.arrived = time.perf_counter()
        self.experimental_thread_pool = pool  # where grpcio runs the handler
        self._desk = desk
        self._room = room
        self._holds_place = room is not None and not self.has_one_message
        self._came = self.arrived
        self._context: Any = None
        self._outcome = [None]  # taken by whoever records the outcome
        self._refusal: ServiceError | None = None
        self.deadline: float | None = None
        self.queued_seconds: float | None = None
        route.metrics.arrive()

    def __call__(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        answer: bytes = walk(self.steps(data, context))
        return answer

    def steps(self, data: bytes, context: grpc.ServicerContext) -> Steps[bytes]:
        """The answer's bytes."""
        self._begin(context)
        method = self.route.method
        try:
            if self._room:
                ensure_awaited(self)
            request = self.route.parse(data)
            if method.steps:
                reply = yield from method.steps(request, self)
            else:
                reply = method.handle(request, self)
            encoded = encode(reply)
        except Exception as error:  # noqa: BLE001 - turned into a status there
            self._fail(error)
        self._succeed()
        return encoded

    def is_cancelled(self) -> bool:
        return not self._context.is_active()

    def admit(self) -> CallPool:
        """Take a place in the queue."""
        self._came = time.perf_counter()
        if self._room:
            try:
                self._room.enter()
            except Overloaded as error:
                return self.refuse(error)
            self._holds_place = True
        return self.experimental_thread_pool

    def dismiss(self) -> CallPool:
        """Take none: nobody waits for an answer."""
        self._came = time.perf_counter()
        return self._desk.refusal_pool

    def refuse(self, error: ServiceError) -> CallPool:
        """Have the handler end the call with an error."""
        if isinstance(error, Overloaded):
            self._desk.count_rejection("queue_full")
        self._refusal = error
        return self._desk.refusal_pool

    def end(self, rpc_event: Any) -> None:
        """Give the place back; a call that never reached its handler was given up before."""
        if self._room and self._holds_place:
            self._room.leave()
        if self._context is None:
            left = rpc_event.call_details.deadline - time.time()
            late = goes_for_deadline(left, time.perf_counter() - self.arrived)
            if not self._refusal:
                self._desk.count_rejection("deadline" if late else "cancelled")
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            self._record(code)

    def _begin(self, context: grpc.ServicerContext) -> None:
        self._context = context
        self.queued_seconds = time.perf_counter() - self._came
        remaining = context.time_remaining()
        if remaining is not None:
            self.deadline = time.monotonic() + remaining
        if not context.add_callback(self._on_termination):
            self._on_termination()  # it was over before it began
        if self._refusal:
            self._fail(self._refusal)

    def _succeed(self) -> None:
        if self._context.is_active():
            self._record(grpc.StatusCode.OK)

    def _fail(self, error: Exception) -> NoReturn:
        """End the call with the status of an error, by grpcio's own exception."""
        if isinstance(error, ServiceError):
            if reason := DROPPED.get(type(error)):
                self._desk.count_rejection(reason)
            self._record(code_of(error))
            self._context.abort_with_status(status_of(error))
        if not self._context.is_active():  # a stream that its caller broke off
            self._on_termination()
        else:  # a fault of ours: the caller learns nothing of it, the log all
            _log.error("%s failed", self.route.path, exc_info=error)
            self._record(grpc.StatusCode.INTERNAL)
        self._context.abort(grpc.StatusCode.INTERNAL, "internal error")
        raise AssertionError("abort returned")

    def _on_termination(self) -> None:
        """The call is over: recorded already, or its caller went, or its deadline passed."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        self._record(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED)

    def _record(self, code: grpc.StatusCode) -> None:
        try:
            self._outcome.pop()
        except IndexError:
            return
        self._desk.record(self, code, self._context)


class StreamCall(Call):
    """A call with a stream of messages either way."""

    __slots__ = ()
    has_one_message = False

    def __call__(self, data: Any, context: grpc.ServicerContext) -> Any:
        self._begin(context)
        self.queued_seconds = None  # its messages wait for one another, not for a thread
        messages = Messages(data, self._desk.idle_calls)
        try:
            for reply in self.route.method.handle(map(self.route.parse, messages), self):
                yield reply.SerializeToString()
        except Exception as error:  # noqa: BLE001 - turned into a status there
            self._fail(error)
        self._succeed()


class WatchCall(Call):
    """A call that is sent news until its caller goes; holds no thread meanwhile."""

    __slots__ = ()
    has_one_answer = False
    experimental_non_blocking = True  # grpcio then passes a function to send with

    def __call__(  # type: ignore[override]  # grpcio calls it with three arguments
        self, data: bytes, context: grpc.ServicerContext, send: Callable[[bytes | None], None]
    ) -> None:
        self._begin(context)
        try:
            unsubscribe = self.route.method.subscribe(
                self.route.parse(data), lambda message: send(message.SerializeToString())
            )
        except Exception as error:  # noqa: BLE001 - turned into a status there
            self._fail(error)
        idle = self._desk.idle_calls

        def end(error: ServiceError) -> None:
            self._record(code_of(error))
            context.set_code(code_of(error))
            context.set_details(str(error))
            send(None)

        def leave() -> None:
            idle.discard(self)
            unsubscribe()

        idle.add(self, end)
        if not context.add_callback(leave):
            leave()


class Refusal(Call):
    """A call that is answered with an error at once."""

    __slots__ = ("_reason",)
    has_one_message = False

    def __init__(
        self,
        route: Route,
        desk: Desk,
        pool: CallPool,
        room: Room | None,
        reason: ServiceError | grpc.StatusCode,
    ) -> None:
        super().__init__(route, desk, pool, room)
        self._reason = reason

    def __call__(self, requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:  # type: ignore[override]
        self._begin(context)
        if isinstance(self._reason, ServiceError):
            self._fail(self._reason)
        self._record(self._reason)
        context.abort(self._reason, "no such method; see server reflection")
        yield b""  # makes this a generator, as grpcio wants of a stream
