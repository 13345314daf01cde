"""One gRPC call that Envoy hands on: what came of it, what is sent back, its one outcome.

All of this runs on the event loop of the process.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import grpc

from server.envoy_bootstrap import ARRIVAL_HEADER
from server.errors import CallerGone, DeadlinePassed, ServiceError
from server.grpc_status import code_of, status_of
from server.grpc_wire import STATUS_DETAILS, Frames, Headers, frame, read_timeout, status_headers
from server.routes import Desk, Route, goes_for_deadline

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
_START: Final[Event] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [_CONTENT_TYPE],
    "trailers": True,
}
_OK: Final[Event] = {
    "type": "http.response.trailers",
    "headers": status_headers(0),
    "more_trailers": False,
}

_FOR_EVER: Final = 1e7  # seconds
# Between two looks whether a caller is still there.
_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class EnvoyCall:
    """What is known of a call; also `server.service.Call` for the service that answers it."""

    __slots__ = (
        "_desk",
        "_receive",
        "_scope",
        "_send",
        "arrived",
        "deadline",
        "frames",
        "has_begun",
        "has_gone",
        "inbox",
        "is_arriving",
        "is_counted",
        "queued_seconds",
        "route",
    )

    def __init__(
        self, route: Route, desk: Desk, scope: Event, receive: Receive, send: Send
    ) -> None:
        self.route = route
        self.arrived = time.perf_counter()
        self.deadline: float | None = None
        self.queued_seconds: float | None = None
        self.has_gone = False
        self.has_begun = False  # to answer
        self.is_arriving = True  # its message has not come, and it is not given up
        self.inbox: deque[bytes] = deque()  # messages that have come and wait
        self.frames: Frames
        self._desk = desk
        self._scope = scope
        self._receive = receive
        self._send = send
        self.is_counted = False
        route.metrics.arrive()

    def is_cancelled(self) -> bool:
        return self.has_gone

    def read_headers(self, limit: int, *, may_compress: bool) -> None:
        """Take over what the headers say; raises InvalidRequest."""
        encoding, timeout = b"", None
        for name, value in self._scope["headers"]:
            if name == ARRIVAL_HEADER:  # it may have waited for this loop since
                self.arrived -= max(0.0, time.time() - float(value))
            elif name == b"grpc-timeout":
                timeout = read_timeout(value)
            elif name == b"grpc-encoding":
                encoding = value
        if timeout is not None:
            waited = time.perf_counter() - self.arrived
            self.deadline = time.monotonic() + timeout - waited
        self.frames = Frames(limit, encoding, may_compress=may_compress)

    def peer(self) -> str:
        """The caller's address, as grpcio writes it."""
        host, port = self._scope.get("client") or ("unknown", 0)
        return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"

    def invocation_metadata(self) -> list[tuple[str, str]]:
        """The headers of the call."""
        return [(k.decode("latin-1"), v.decode("latin-1")) for k, v in self._scope["headers"]]

    async def next_message(self) -> bytes | None:
        """The next message, or None where there are no more; raises ServiceError."""
        while not self.inbox:
            event = await self._receive()
            if event["type"] != "http.request":
                self.has_gone = True
                raise CallerGone("the caller has gone")
            self.inbox.extend(self.frames.add(event.get("body", b"")))
            if not event.get("more_body"):
                self.frames.end()
                if not self.inbox:
                    return None
        return self.inbox.popleft()

    def at_deadline(self, tell: Callable[[ServiceError], object]) -> asyncio.TimerHandle:
        """Have something told when the deadline passes, unless what is returned is cancelled."""
        left = _FOR_EVER if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        error = DeadlinePassed("the deadline passed")
        return asyncio.get_running_loop().call_later(left, tell, error)

    def when_gone(
        self, tell: Callable[[ServiceError], object], pause: float = _FIRST_PAUSE_SECONDS
    ) -> None:
        """Have something told when the caller goes; called when the messages have come.

        pyvoy tells of the end of the messages again and again, at once, whoever is there: so it is
        asked ever more rarely. What waits for that is never cancelled: pyvoy ends it itself.
        """
        if self.is_counted:
            return

        def look(waiting: "asyncio.Future[Event]") -> None:
            if waiting.cancelled() or waiting.exception() or self.is_counted:
                return
            if waiting.result()["type"] != "http.request":
                self.has_gone = True
                tell(CallerGone("the caller has gone"))
                return
            longer = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            asyncio.get_running_loop().call_later(pause, self.when_gone, tell, longer)

        asyncio.ensure_future(self._receive()).add_done_callback(look)

    async def send_message(self, encoded: bytes) -> None:
        """Send one of several messages; raises CallerGone where nobody is there."""
        if self.has_gone or self.is_counted:
            raise CallerGone("the caller has gone")
        if not self.has_begun:
            self.has_begun = True
            await self._send(_START)
        body: Event = {"type": "http.response.body", "body": frame(encoded), "more_body": True}
        await self._send(body)

    async def succeed(self, encoded: bytes = b"", *, has_message: bool = True) -> None:
        """End the call with OK, and with its one answer unless several were sent before."""
        self.record(grpc.StatusCode.OK)
        if not self.has_begun:
            await self._send(_START)
        body = frame(encoded) if has_message else b""
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        await self._send(_OK)

    async def fail(self, error: BaseException) -> None:
        """End the call with the status of an error."""
        if self.has_gone or isinstance(error, CallerGone):
            self.leave()
            return
        if isinstance(error, ServiceError):
            status = status_of(error)
            self.record(code_of(error))
            details: Any = next(
                (v for k, v in status.trailing_metadata if k == STATUS_DETAILS), b""
            )
            trailers = status_headers(status.code.value[0], status.details, details)
        else:  # a fault of ours: the caller learns nothing of it, the log all
            _log.error("%s failed", self.route.path, exc_info=error)
            self.record(grpc.StatusCode.INTERNAL)
            trailers = status_headers(grpc.StatusCode.INTERNAL.value[0], "internal error")
        await self._end(trailers)

    async def _end(self, trailers: Headers) -> None:
        if not self.has_begun:  # a status alone, in the headers
            headers = [_CONTENT_TYPE, *trailers]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._send(
            {"type": "http.response.trailers", "headers": trailers, "more_trailers": False}
        )

    def leave(self) -> None:
        """The caller has gone: by itself, or since its deadline passed."""
        self.has_gone = True
        late = self.is_late()
        self.record(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED)

    def is_late(self) -> bool:
        """Whether the deadline has passed for the caller, whose clock began before ours."""
        if self.deadline is None:
            return False
        waited = time.perf_counter() - self.arrived
        return goes_for_deadline(self.deadline - time.monotonic(), waited)

    def record(self, code: grpc.StatusCode) -> None:
        """Count the call's outcome, once."""
        if not self.is_counted:
            self.is_counted = True
            self._desk.record(self, code, self)
