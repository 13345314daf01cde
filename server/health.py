"""grpc.health.v1.Health: which names are serving, asked, listed or watched.

Source: github.com/grpc/grpc, doc/health-checking.md.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Final

from gurmukhi.health import health_pb2 as pb
from server.errors import NotFound
from server.service import AnyMethod, Call, Method, WatchMethod

_SERVING: Final = pb.HealthCheckResponse.SERVING
_NOT_SERVING: Final = pb.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = pb.HealthCheckResponse.SERVICE_UNKNOWN

Send = Callable[[pb.HealthCheckResponse], None]


class _Watcher:
    """A caller that is told of one name; `news` is what it has not been told yet."""

    __slots__ = ("is_told", "name", "news", "send")

    def __init__(self, name: str, send: Send) -> None:
        self.name = name
        self.send = send
        self.news: pb.HealthCheckResponse.ServingStatus | None = None
        self.is_told = False  # by some thread, now


class HealthService:
    """The status of each name; knows no transport.

    To send may take as long as a watcher pleases. So it is done on the threads of `watch_pool`,
    never under the lock, and a watcher that is slow misses what was overtaken meanwhile.
    """

    name: Final = pb.DESCRIPTOR.services_by_name["Health"].full_name

    def __init__(self, watch_pool: Executor) -> None:
        self._pool = watch_pool
        self._lock = threading.Lock()
        self._statuses: dict[str, pb.HealthCheckResponse.ServingStatus] = {}
        self._watchers: set[_Watcher] = set()
        self._draining = False
        self.methods: Mapping[str, AnyMethod] = {
            "Check": Method(pb.HealthCheckRequest, self.check),
            "List": Method(pb.HealthListRequest, self.list),
            "Watch": WatchMethod(pb.HealthCheckRequest, self.watch),
        }

    def set(self, statuses: Mapping[str, bool]) -> None:
        """Take over the whole table, name → serving; names that are missing become unknown."""
        with self._lock:
            waiting = self._take_over(statuses)
        self._tell_later(waiting)

    def _take_over(self, statuses: Mapping[str, bool]) -> list[_Watcher]:
        """Returns the watchers that somebody has to tell."""
        before = self._statuses
        self._statuses = {
            name: _SERVING if serving and self._may_serve(name) else _NOT_SERVING
            for name, serving in statuses.items()
        }
        waiting = []
        for watcher in self._watchers:
            status = self._statuses.get(watcher.name)
            if status != before.get(watcher.name):
                watcher.news = _UNKNOWN if status is None else status
                if not watcher.is_told:
                    watcher.is_told = True
                    waiting.append(watcher)
        return waiting

    def _tell_later(self, watchers: Iterable[_Watcher]) -> None:
        for watcher in watchers:
            self._pool.submit(self._tell, watcher)

    def _tell(self, watcher: _Watcher) -> None:
        while True:
            with self._lock:
                status, watcher.news = watcher.news, None
                if status is None:
                    watcher.is_told = False
                    return
            watcher.send(pb.HealthCheckResponse(status=status))

    def _may_serve(self, name: str) -> bool:
        return not self._draining or name == "liveness"

    def drain(self) -> None:
        """Turn every name to NOT_SERVING for good, liveness apart: the process still runs."""
        with self._lock:
            self._draining = True
            waiting = self._take_over(dict.fromkeys(self._statuses, True))
        self._tell_later(waiting)

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
        watcher = _Watcher(request.service, send)
        with self._lock:
            watcher.news = self._statuses.get(watcher.name, _UNKNOWN)
            watcher.is_told = True
            self._watchers.add(watcher)
        self._tell(watcher)

        def unsubscribe() -> None:
            with self._lock:
                self._watchers.discard(watcher)

        return unsubscribe
