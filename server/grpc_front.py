"""Serve services over gRPC by grpcio's synchronous server.

A service knows no transport. This front parses requests, hands them over with the call's deadline
and cancellation, turns errors into statuses, and counts every outcome once.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gurmukhi.errors import GurmukhiError
from server.errors import InvalidRequest, ServiceError
from server.grpc_status import code_of, status_of
from server.metrics import ServerMetrics
from server.reflection import described_pool
from server.service import Method, Service

_UNARY: Final = "unary"
_UNKNOWN: Final = "unknown"  # in place of a method's name that a client made up

_log = logging.getLogger(__name__)


class PortError(GurmukhiError):
    """The port to serve on cannot be had."""


@dataclass(frozen=True, slots=True)
class FrontConfig:
    """Where to listen, and how much to take in."""

    host: str
    port: int  # 0 is a free one
    threads: int
    max_message_bytes: int


class GrpcFront:
    """A gRPC server over some services, with health and reflection beside them."""

    def __init__(
        self, config: FrontConfig, services: Sequence[Service], metrics: ServerMetrics
    ) -> None:
        self._server = grpc.server(
            _TimingExecutor(config.threads),
            options=[
                ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a share of it
                ("grpc.max_receive_message_length", config.max_message_bytes),
                ("grpc.max_send_message_length", -1),
            ],
        )
        self._health = health.HealthServicer(
            experimental_thread_pool=ThreadPoolExecutor(1, thread_name_prefix="health")
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [service.name for service in services]
        pool = described_pool(names)
        reflection.enable_server_reflection(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server, pool=pool
        )
        for service in services:
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(
                    _Handler(service.name, name, method, metrics)
                )
                for name, method in service.methods.items()
            }
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service.name, handlers),)
            )
        self._server.add_generic_rpc_handlers((_UnknownMethods(metrics),))
        self.port = self._bind(config)

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def set_health(self, name: str, *, serving: bool) -> None:
        """Set what the health service says of a name."""
        status = health_pb2.HealthCheckResponse
        self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    def drain(self, grace_seconds: float) -> None:
        """Turn health to NOT_SERVING, refuse new calls, and wait for those under way."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()

    def _bind(self, config: FrontConfig) -> int:
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = f"{host}:{config.port}"
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PortError(f"cannot listen on {address} for gRPC: is it in use?") from error
        return int(port)


class _Arrival(threading.local):
    """When the call that this thread handles arrived, on the clock of `time.perf_counter`."""

    seconds: float = 0.0


_arrival: Final = _Arrival()


class _TimingExecutor(ThreadPoolExecutor):
    """A thread pool that remembers when each call arrived."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="grpc")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(self._run, time.perf_counter(), fn, *args, **kwargs)

    @staticmethod
    def _run(arrived: float, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        _arrival.seconds = arrived
        return fn(*args, **kwargs)


class _Call:
    """A `server.service.Call` over grpcio's context."""

    __slots__ = ("_context", "deadline", "queued_seconds")

    def __init__(self, context: grpc.ServicerContext, queued_seconds: float) -> None:
        self._context = context
        self.queued_seconds = queued_seconds
        remaining = context.time_remaining()
        self.deadline = None if remaining is None else time.monotonic() + remaining

    def is_cancelled(self) -> bool:
        return not self._context.is_active()


class _Handler:
    """One method of a service: bytes to bytes, each outcome counted once."""

    def __init__(self, service: str, name: str, method: Method, metrics: ServerMetrics) -> None:
        self._method = method
        self._labels = (_UNARY, service, name)
        self._name = f"{service}/{name}"
        self._metrics = metrics
        self._started = metrics.started(*self._labels)
        self._handling = metrics.handling(*self._labels)
        metrics.handled(*self._labels, grpc.StatusCode.OK.name)  # shown as 0 before the first call

    def __call__(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        arrived = _arrival.seconds
        self._started.inc()
        self._metrics.inflight.inc()
        # Whoever pops the token counts the call: this thread when it has an outcome, or grpcio's
        # when the caller goes or the deadline passes before that.
        token = [None]
        context.add_callback(lambda: self._count(token, arrived, _code_of_loss(context)))
        try:
            reply = self._answer(data, context, arrived)
        except ServiceError as error:
            self._count(token, arrived, code_of(error))
            context.abort_with_status(status_of(error))
        except Exception:  # noqa: BLE001 - a fault of ours: the caller learns nothing, the log all
            _log.exception("%s failed", self._name)
            self._count(token, arrived, grpc.StatusCode.INTERNAL)
            context.abort(grpc.StatusCode.INTERNAL, "internal error")
        else:
            if context.is_active():
                self._count(token, arrived, grpc.StatusCode.OK)
            return reply
        finally:
            self._metrics.inflight.dec()
        raise AssertionError("abort returned")

    def _answer(self, data: bytes, context: grpc.ServicerContext, arrived: float) -> bytes:
        try:
            request = self._method.request_type.FromString(data)
        except DecodeError as error:
            kind = self._method.request_type.DESCRIPTOR.full_name
            raise InvalidRequest("request", f"is no {kind}") from error
        call = _Call(context, time.perf_counter() - arrived)
        reply: bytes = self._method.handle(request, call).SerializeToString()
        return reply

    def _count(self, token: list[None], arrived: float, code: grpc.StatusCode) -> None:
        try:
            token.pop()
        except IndexError:
            return
        self._metrics.handled(*self._labels, code.name).inc()
        self._handling.observe(time.perf_counter() - arrived)


def _code_of_loss(context: grpc.ServicerContext) -> grpc.StatusCode:
    """Why a call ended before its handler did."""
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED


class _UnknownMethods(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # in the stubs alone
    """Refuses what no service offers, and counts it under no name of the client's choice."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._started = metrics.started(_UNARY, _UNKNOWN, _UNKNOWN)
        self._handled = metrics.handled(
            _UNARY, _UNKNOWN, _UNKNOWN, grpc.StatusCode.UNIMPLEMENTED.name
        )

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        # As a stream, so that it is refused before a message has come.
        return grpc.stream_stream_rpc_method_handler(self._refuse)

    def _refuse(self, requests: Any, context: grpc.ServicerContext) -> Any:
        self._started.inc()
        self._handled.inc()
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method; see server reflection")
