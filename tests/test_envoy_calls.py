"""A call that Envoy hands on, with nobody at its other end."""

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from server.admission import Admission
from server.envoy_calls import EnvoyCall, Event
from server.errors import CallerGone, ServiceError
from server.metrics import ServerMetrics
from server.routes import Desk, unknown_route


def call_of(events: Iterator[Event]) -> EnvoyCall:
    """A call whose events come at once, as pyvoy tells of the end of its messages."""
    metrics = ServerMetrics(CollectorRegistry())
    desk = Desk(Admission(threads=1, queue=1, streams=1), metrics, None)

    async def receive() -> Event:
        return next(events)

    async def send(event: Event) -> None:
        raise AssertionError(event)

    return EnvoyCall(unknown_route(metrics), desk, {"headers": []}, receive, send)


def test_a_call_that_waits_asks_rarely_whether_its_caller_is_there() -> None:
    looks = 0

    def events() -> Iterator[Event]:
        nonlocal looks
        while True:
            looks += 1
            yield {"type": "http.request"}

    async def wait() -> list[ServiceError]:
        told: list[ServiceError] = []
        call_of(events()).when_gone(told.append)
        await asyncio.sleep(0.5)
        return told

    assert asyncio.run(wait()) == []
    assert 2 <= looks <= 6  # at 0, 20, 60, 140 and 300 ms


def test_a_caller_who_goes_while_its_call_waits_is_told_of() -> None:
    events: list[Event] = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def wait() -> list[ServiceError]:
        told: list[ServiceError] = []
        call_of(iter(events)).when_gone(told.append)
        await asyncio.sleep(0.2)
        return told

    (error,) = asyncio.run(wait())
    assert isinstance(error, CallerGone)
