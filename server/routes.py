"""The methods that a front answers, and where the ends of their calls are counted.

Both fronts find a call's method here, and count what became of it in the same way.
"""

import time
from collections.abc import Iterable
from typing import Any, Final, Protocol

import grpc
from google.protobuf.message import DecodeError

from server.access_log import AccessLog
from server.admission import Admission
from server.errors import CallerGone, DeadlinePassed, InvalidRequest, ServiceError
from server.metrics import MethodMetrics, ServerMetrics
from server.service import AnyMethod, Method, Service, StreamMethod, WatchMethod

_OPEN_SERVICES: Final = ("grpc.health.v1.Health",)  # kubelet's probes carry no token

# Errors of work that was dropped before it was begun, as `gurmukhi_rejected_total` names them.
DROPPED: Final[dict[type[ServiceError], str]] = {
    DeadlinePassed: "deadline",
    CallerGone: "cancelled",
}
# A call that its caller's own queue holds back comes when part of its time is over, and gRPC
# rounds a time-out up by a tenth at most. Who goes shortly before the deadline goes for it.
_CLOCK_SECONDS: Final = 0.05
_ROUNDING: Final = 0.1
UNKNOWN: Final = "unknown"  # in place of a method's name that a client made up


def goes_for_deadline(left: float, waited: float) -> bool:
    """Whether a caller who went with so many seconds left, after so many, went for its deadline."""
    return left <= _CLOCK_SECONDS + _ROUNDING * waited


class Countable(Protocol):
    """A call as its end is counted."""

    @property
    def route(self) -> "Route": ...
    @property
    def arrived(self) -> float: ...


class Desk:
    """What all calls of a server share: where they go, and where their ends are counted."""

    def __init__(
        self, admission: Admission, metrics: ServerMetrics, access_log: AccessLog | None
    ) -> None:
        self.idle_calls = admission.idle
        self.refusal_pool = admission.refusal_pool
        self._metrics = metrics
        self._access_log = access_log

    def record(self, call: "Countable", code: grpc.StatusCode, context: Any) -> None:
        """Count an outcome; a call records one alone."""
        seconds = time.perf_counter() - call.arrived
        call.route.metrics.count(code._name_, seconds)  # `name` is a property, in Python
        if self._access_log:
            self._access_log.record(call.route.path, code.name, seconds, context)

    def count_rejection(self, reason: str) -> None:
        """Count work that was dropped before it was begun."""
        self._metrics.rejected(reason).inc()


class Route:
    """A method with its collectors."""

    __slots__ = ("_read", "is_open", "method", "metrics", "path")

    def __init__(
        self, service: str, name: str, method: AnyMethod | None, metrics: ServerMetrics
    ) -> None:
        kind = {Method: "unary", StreamMethod: "bidi_stream"}.get(type(method), "server_stream")
        self.path = f"{service}/{name}"
        self.method: Any = method
        if method is None:
            kind = "unary"
        self.metrics: MethodMetrics = metrics.method(
            kind, service, name, is_watch=isinstance(method, WatchMethod)
        )
        self.is_open = service in _OPEN_SERVICES
        self._read: Any = method and (
            (isinstance(method, Method) and method.parse) or method.request_type.FromString
        )

    def parse(self, data: bytes) -> Any:
        """A request from its bytes; raises InvalidRequest."""
        try:
            return self._read(data)
        except DecodeError as error:
            kind = self.method.request_type.DESCRIPTOR.full_name
            raise InvalidRequest("request", f"is no {kind}") from error


def routes_of(services: Iterable[Service], metrics: ServerMetrics) -> dict[str, Route]:
    """The routes of all methods by their path, such as `/gurmukhi.v1.DigitService/Classify`."""
    return {
        f"/{service.name}/{name}": Route(service.name, name, method, metrics)
        for service in services
        for name, method in service.methods.items()
    }


def unknown_route(metrics: ServerMetrics) -> Route:
    """The route of calls that name no method."""
    return Route(UNKNOWN, UNKNOWN, None, metrics)
