"""Find the method that a call names, and admit or refuse the call.

grpcio asks `Router.service` for a handler when a call arrives, on its one serving thread, and runs
the handler on the pool that it names.
"""

from collections.abc import Iterable
from typing import Any

import grpc

from server.access_log import AccessLog
from server.admission import Admission
from server.errors import Overloaded, ServiceError, Unauthenticated
from server.grpc_calls import Call, Refusal, StreamCall, WatchCall
from server.metrics import ServerMetrics
from server.routes import Desk, Route, routes_of, unknown_route
from server.service import Method, Service, StreamMethod
from server.tokens import Tokens


class Router(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs alone
    """Finds the method that a call names, and admits or refuses it."""

    def __init__(
        self,
        services: Iterable[Service],
        admission: Admission,
        metrics: ServerMetrics,
        *,
        tokens: Tokens | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        self._admission = admission
        self._tokens = tokens
        self._desk = Desk(admission, metrics, access_log)
        self._unknown = unknown_route(metrics)
        self._routes = routes_of(services, metrics)

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        route = self._routes.get(details.method, self._unknown)
        if (
            self._tokens
            and not route.is_open
            and not self._tokens.admit(details.invocation_metadata or ())
        ):
            return self._refuse(route, Unauthenticated("a valid bearer token is needed"))
        if route is self._unknown:
            return self._refuse(route, grpc.StatusCode.UNIMPLEMENTED)
        admission, method = self._admission, route.method
        if isinstance(method, Method):
            if not method.is_work:
                pool = admission.health_pool if route.is_open else admission.control_pool
                return grpc.unary_unary_rpc_method_handler(Call(route, self._desk, pool, None))
            return self._work(route)
        if isinstance(method, StreamMethod):
            return self._stream(route)
        watch = WatchCall(route, self._desk, admission.watch_pool, None)
        return grpc.unary_stream_rpc_method_handler(watch)

    def _work(self, route: Route) -> "grpc.RpcMethodHandler[Any, Any]":
        room, pool = self._admission.work, self._admission.work_pool
        try:
            room.expect_place()  # a place is taken when the message has come
        except Overloaded as error:
            self._desk.count_rejection("queue_full")
            return self._refuse(route, error)
        return grpc.unary_unary_rpc_method_handler(Call(route, self._desk, pool, room))

    def _stream(self, route: Route) -> "grpc.RpcMethodHandler[Any, Any]":
        room, pool = self._admission.streams, self._admission.stream_pool
        try:
            room.enter()
        except Overloaded as error:
            self._desk.count_rejection("streams_full")
            return self._refuse(route, error)
        return grpc.stream_stream_rpc_method_handler(StreamCall(route, self._desk, pool, room))

    def _refuse(
        self, route: Route, reason: ServiceError | grpc.StatusCode
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        # As a stream, so that it is refused before its message has come.
        return grpc.stream_stream_rpc_method_handler(
            Refusal(route, self._desk, self._admission.refusal_pool, None, reason)
        )
