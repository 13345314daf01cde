"""grpc.health.v1.Health: which names are serving, asked, listed or watched.

Source: github.com/grpc/grpc, doc/health-checking.md.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from gurmukhi.health import health_pb2 as pb
from server.errors import NotFound
from server.service import AnyMethod, Call, Method, WatchMethod

_SERVING: Final = pb.HealthCheckResponse.SERVING
_NOT_SERVING: Final = pb.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = pb.HealthCheckResponse.SERVICE_UNKNOWN

Send = Callable[[pb.HealthCheckResponse], None]


class HealthService:
    """The status of each name; knows no transport."""

    name: Final = pb.DESCRIPTOR.services_by_name["Health"].full_name

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[str, pb.HealthCheckResponse.ServingStatus] = {}
        self._watchers: dict[str, list[Send]] = {}
        self._draining = False
        self.methods: Mapping[str, AnyMethod] = {
            "Check": Method(pb.HealthCheckRequest, self.check),
            "List": Method(pb.HealthListRequest, self.list),
            "Watch": WatchMethod(pb.HealthCheckRequest, self.watch),
        }

    def set(self, statuses: Mapping[str, bool]) -> None:
        """Take over the whole table, name → serving; names that are missing become unknown."""
        with self._lock:
            self._take_over(statuses)

    def _take_over(self, statuses: Mapping[str, bool]) -> None:
        wanted = {
            name: _SERVING if serving and self._may_serve(name) else _NOT_SERVING
            for name, serving in statuses.items()
        }
        changed = {
            name: wanted.get(name, _UNKNOWN)
            for name in {*wanted, *self._statuses}
            if wanted.get(name) != self._statuses.get(name)
        }
        self._statuses = wanted
        for name, status in changed.items():
            for send in self._watchers.get(name, ()):
                send(pb.HealthCheckResponse(status=status))

    def _may_serve(self, name: str) -> bool:
        return not self._draining or name == "liveness"

    def drain(self) -> None:
        """Turn every name to NOT_SERVING for good, liveness apart: the process still runs."""
        with self._lock:
            self._draining = True
            self._take_over(dict.fromkeys(self._statuses, True))

    def check(self, request: pb.HealthCheckRequest, call: Call) -> pb.HealthCheckResponse:
        """Answer for one name; raises NotFound."""
        status = self._statuses.get(request.service)
        if status is None:
            raise NotFound(f"health knows no {request.service[:64]!r}; List names all")
        return pb.HealthCheckResponse(status=status)

    def list(self, request: pb.HealthListRequest, call: Call) -> pb.HealthListResponse:
        """Answer for every name."""
        statuses = dict(self._statuses)
        return pb.HealthListResponse(
            statuses={name: pb.HealthCheckResponse(status=s) for name, s in statuses.items()}
        )

    def watch(self, request: pb.HealthCheckRequest, send: Send) -> Callable[[], None]:
        """Send a name's status now and whenever it changes; returns what ends that."""
        name = request.service
        with self._lock:
            self._watchers.setdefault(name, []).append(send)
            send(pb.HealthCheckResponse(status=self._statuses.get(name, _UNKNOWN)))

        def unsubscribe() -> None:
            with self._lock:
                watchers: list[Any] = self._watchers.get(name, [])
                if send in watchers:
                    watchers.remove(send)
                if not watchers:
                    self._watchers.pop(name, None)

        return unsubscribe
