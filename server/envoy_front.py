"""Serve services from inside Envoy: an ASGI application that finds the method that a call names."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import grpc

from server.cors import is_preflight, preflight, response_headers
from server.envoy_answers import Answers
from server.envoy_calls import EnvoyCall, Event, Receive, Send
from server.envoy_web import GrpcWebCall, WebCall, adding, request_of, send_response
from server.errors import NotReady, Unauthenticated, Unsupported
from server.grpc_web import is_grpc_web
from server.grpc_wire import CONTENT_TYPE
from server.page import load_page
from server.process import Parts
from server.rest import find_endpoint, no_such_path
from server.routes import Desk, routes_of, unknown_route
from server.service import StreamMethod, WatchMethod
from server.web import Endpoint

_POLL_SECONDS: Final = 0.02  # between two looks whether calls are still under way


@dataclass(frozen=True, slots=True)
class EnvoyFrontConfig:
    """What of a call is taken in."""

    max_message_bytes: int
    compression: bool
    cors_origins: tuple[str, ...] = ()  # of pages that may call from browsers
    page: bool = False  # whether to serve it


class EnvoyFront:
    """An ASGI application over services; `open_port` has Envoy listen, `close_port` no longer."""

    def __init__(
        self,
        config: EnvoyFrontConfig,
        parts: Parts,
        open_port: Callable[[], None],
        close_port: Callable[[], None],
    ) -> None:
        self._config = config
        self._open_port = open_port
        self._close_port = close_port
        self._admission = parts.admission
        self._tokens = parts.tokens
        self._desk = Desk(parts.admission, parts.metrics, parts.access_log)
        self._answers = Answers(parts.admission, self._desk)
        self._unknown = unknown_route(parts.metrics)
        self._routes = {
            path.encode(): route for path, route in routes_of(parts.services, parts.metrics).items()
        }
        self._page = load_page() if config.page else None
        self._is_stopping = False
        self._under_way = 0

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if self._config.cors_origins:
            request = request_of(scope)
            if is_preflight(request):
                with suppress(OSError):  # the caller has gone
                    await send_response(send, preflight(self._config.cors_origins, request))
                return
            send = adding(send, response_headers(self._config.cors_origins, request))
        kind = next((v for k, v in scope["headers"] if k == b"content-type"), b"")
        route = self._routes.get(scope["raw_path"], self._unknown)
        call: EnvoyCall
        if kind == CONTENT_TYPE:  # most calls
            call = EnvoyCall(route, self._desk, scope, receive, send)
        elif is_grpc_web(kind.decode("latin-1")):
            call = GrpcWebCall(route, self._desk, scope, receive, send)
        elif kind.startswith(CONTENT_TYPE):
            call = EnvoyCall(route, self._desk, scope, receive, send)
        else:
            path = scope["raw_path"].decode("latin-1")
            if self._page and path == "/" and scope["method"] in ("GET", "HEAD"):
                known = next((v for k, v in scope["headers"] if k == b"if-none-match"), b"")
                await send_response(send, self._page.answer(known.decode("latin-1")))
                return
            found = find_endpoint(scope["method"], path)
            if not isinstance(found, Endpoint):
                call = EnvoyCall(self._unknown, self._desk, scope, receive, send)
                call.record(grpc.StatusCode.UNIMPLEMENTED)
                with suppress(OSError):  # the caller has gone
                    await send_response(send, found or no_such_path(path))
                return
            route = self._routes[f"/{found.path}".encode()]
            call = WebCall(found, route, self._desk, scope, receive, send)
        self._under_way += 1
        try:
            await self._answer(call)
        except OSError:  # what pyvoy raises of a caller who has gone
            call.leave()
        finally:
            self._under_way -= 1

    async def _answer(self, call: EnvoyCall) -> None:
        route = call.route
        try:
            self._admit(call)
            call.read_headers(self._config.max_message_bytes, may_compress=self._config.compression)
            if isinstance(route.method, StreamMethod):
                await self._answers.stream(call)
            elif isinstance(route.method, WatchMethod):
                await self._answers.watch(call)
            else:
                await self._answers.unary(call)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - turned into a status there
            await call.fail(error)

    def _admit(self, call: EnvoyCall) -> None:
        """Raises what a call is refused with, whatever it asks."""
        route = call.route
        if self._is_stopping:
            raise NotReady("the server is stopping")
        tokens = None if route.is_open else self._tokens
        if tokens and not tokens.admit(call.invocation_metadata()):
            raise Unauthenticated("a valid bearer token is needed")
        if route is self._unknown:
            raise Unsupported("no such method; see server reflection")

    def start(self) -> None:
        """Have Envoy listen: calls are answered from then on."""
        self._open_port()

    def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, end those that are idle, wait for the others for the grace at most."""
        self._is_stopping = True
        self._close_port()
        self._admission.drain()
        until = time.monotonic() + grace_seconds
        while self._under_way and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
