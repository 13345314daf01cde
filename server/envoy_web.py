"""Calls of other protocols than gRPC that Envoy hands on: JSON, and gRPC-Web.

Each is a call like any other, but for what its body is made of.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import grpc
from google.protobuf import message_factory

from server import grpc_web
from server.envoy_calls import EnvoyCall, Event, Receive, Send
from server.errors import CallerGone, MessageTooLarge, ServiceError
from server.grpc_status import code_of
from server.grpc_wire import Headers, status_headers
from server.rest import timeout_seconds
from server.routes import Desk, Route
from server.web import Endpoint, HttpRequest, HttpResponse, is_compressed, unpack

_OK: Final = status_headers(0)
# Three images in JSON, 100 µs each; more is read and written where it keeps nobody waiting.
_BRIEF_BYTES: Final = 16384

_log = logging.getLogger(__name__)


async def send_response(send: Send, response: HttpResponse) -> None:
    """Send a whole response."""
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers
    ]
    if response.content_type:  # else there is no body
        headers.append((b"content-type", response.content_type.encode("latin-1")))
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


def request_of(scope: Event, body: bytes = b"") -> HttpRequest:
    """A request as codecs take it."""
    return HttpRequest(
        scope["method"],
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body,
    )


def adding(send: Send, headers: Iterable[tuple[str, str]]) -> Send:
    """A `send` that adds to the headers of a response."""
    more = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if not more:
        return send

    async def add(event: Event) -> None:
        if event["type"] == "http.response.start":
            event = {**event, "headers": [*event["headers"], *more]}
        await send(event)

    return add


class _BodyCall(EnvoyCall):
    """A call whose one message is its whole body."""

    __slots__ = ("_fields", "_has_message", "_limit")

    def __init__(
        self, route: Route, desk: Desk, scope: Event, receive: Receive, send: Send
    ) -> None:
        super().__init__(route, desk, scope, receive, send)
        self._limit = 0
        self._has_message = False
        self._fields = dict(self.invocation_metadata())

    async def _body(self) -> bytes:
        """All of the body; raises MessageTooLarge before more than the limit is kept."""
        chunks, size = [], 0
        while True:
            event = await self._receive()
            if event["type"] != "http.request":
                self.has_gone = True
                raise CallerGone("the caller has gone")
            chunks.append(event.get("body", b""))
            size += len(chunks[-1])
            if size > self._limit:
                raise MessageTooLarge(size, self._limit)
            if not event.get("more_body"):
                return b"".join(chunks)


class WebCall(_BodyCall):
    """A call whose request and answer an endpoint reads and writes."""

    __slots__ = ("_endpoint", "_may_compress", "_request")

    def __init__(
        self,
        endpoint: Endpoint,
        route: Route,
        desk: Desk,
        scope: Event,
        receive: Receive,
        send: Send,
    ) -> None:
        super().__init__(route, desk, scope, receive, send)
        self._endpoint = endpoint
        self._may_compress = False
        self._request = request_of(scope)

    def read_headers(self, limit: int, *, may_compress: bool) -> None:
        super().read_headers(limit, may_compress=False)
        self._limit = limit
        self._may_compress = may_compress
        if (seconds := timeout_seconds(self._request)) is not None:
            waited = time.perf_counter() - self.arrived
            self.deadline = time.monotonic() + seconds - waited

    async def next_message(self) -> bytes | None:
        self._request = request_of(self._scope, await self._body())
        may_unpack = self._may_compress and is_compressed(self._request)
        if may_unpack or len(self._request.body) > _BRIEF_BYTES:
            return await asyncio.to_thread(self._read, may_unpack=may_unpack)
        return self._read(may_unpack=False)

    def _read(self, *, may_unpack: bool) -> bytes:
        if may_unpack:
            self._request = unpack(self._request, self._limit)
        encoded: bytes = self._endpoint.read(self._request).SerializeToString()
        return encoded

    async def succeed(self, encoded: bytes = b"", *, has_message: bool = True) -> None:
        answer = _answer_type(self.route.path, self.route.method.request_type).FromString(encoded)
        if len(encoded) <= _BRIEF_BYTES:
            response = self._endpoint.write(answer, self._request)
        else:
            response = await asyncio.to_thread(self._endpoint.write, answer, self._request)
        self.record(grpc.StatusCode.OK)
        await send_response(self._send, response)

    async def fail(self, error: BaseException) -> None:
        if self.has_gone or isinstance(error, CallerGone):
            self.leave()
            return
        known = error if isinstance(error, ServiceError) else None
        if known is None:
            _log.error("%s failed", self.route.path, exc_info=error)
        self.record(grpc.StatusCode.INTERNAL if known is None else code_of(known))
        await send_response(self._send, self._endpoint.refuse(known))


class GrpcWebCall(_BodyCall):
    """A call by gRPC-Web: one message, and answers and trailers in one body."""

    __slots__ = ()

    def read_headers(self, limit: int, *, may_compress: bool) -> None:
        super().read_headers(limit, may_compress=False)
        self._limit = limit * 2  # in base64, with its prefix; the message itself is looked at below

    async def next_message(self) -> bytes | None:
        if self._has_message:
            return None
        self._has_message = True
        message = grpc_web.unwrap(self._fields["content-type"], await self._body())
        if len(message) > self._limit // 2:
            raise MessageTooLarge(len(message), self._limit // 2)
        return message

    async def send_message(self, encoded: bytes) -> None:
        if self.has_gone or self.is_counted:
            raise CallerGone("the caller has gone")
        await self._send_frames(grpc_web.frame(encoded), has_more=True)

    async def succeed(self, encoded: bytes = b"", *, has_message: bool = True) -> None:
        self.record(grpc.StatusCode.OK)
        data = grpc_web.frame(encoded) if has_message else b""
        await self._send_frames(data + grpc_web.trailer_frame(_OK), has_more=False)

    async def _end(self, trailers: Headers) -> None:
        await self._send_frames(grpc_web.trailer_frame(trailers), has_more=False)

    async def _send_frames(self, data: bytes, *, has_more: bool) -> None:
        kind = grpc_web.answer_type(self._fields)
        if not self.has_begun:
            self.has_begun = True
            headers = [(b"content-type", kind.encode("latin-1"))]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        body = grpc_web.encode(kind, data)
        await self._send({"type": "http.response.body", "body": body, "more_body": has_more})


@cache
def _answer_type(path: str, request_type: Any) -> Any:
    """What a method answers, by the file that describes it."""
    service, _, method = path.partition("/")
    services = request_type.DESCRIPTOR.file.services_by_name
    described = services[service.rpartition(".")[2]].methods_by_name[method]
    return message_factory.GetMessageClass(described.output_type)
