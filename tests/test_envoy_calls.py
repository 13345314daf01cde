"""A call that Envoy hands on, with nobody at its other end."""

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from gurmukhi.v1 import digits_pb2 as pb
from server.admission import Admission
from server.envoy_answers import Answers
from server.envoy_calls import EnvoyCall, Event
from server.errors import CallerGone, ServiceError
from server.grpc_wire import frame
from server.metrics import ServerMetrics
from server.routes import Desk, Route, unknown_route
from server.service import Method


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


def test_a_message_on_its_way_comes_before_its_call_is_given_up_for_calls_without_one() -> None:
    metrics = ServerMetrics(CollectorRegistry())
    admission = Admission(threads=1, queue=1, streams=1)
    desk, sent = Desk(admission, metrics, None), list[Event]()
    method = Method(pb.ListModelsRequest, lambda request, call: pb.ListModelsResponse())
    route = Route("a", "B", method, metrics)

    async def send(event: Event) -> None:
        sent.append(event)

    async def drop(event: Event) -> None:
        pass

    async def wait() -> None:
        answers, came = Answers(admission, desk), asyncio.Event()

        async def receive() -> Event:
            await came.wait()
            return {"type": "http.request", "body": frame(b""), "more_body": False}

        async def receive_nothing() -> Event:
            await asyncio.Event().wait()
            raise AssertionError

        calls = [EnvoyCall(route, desk, {"headers": []}, receive, send)]
        calls += [
            EnvoyCall(route, desk, {"headers": []}, receive_nothing, drop) for _ in range(300)
        ]
        for call in calls:
            call.read_headers(1 << 20, may_compress=False)
        first, *others = [asyncio.create_task(answers.unary(call)) for call in calls]
        await asyncio.sleep(0.01)  # the others have begun, and nobody has a message
        came.set()
        await first
        for other in others:
            other.cancel()

    asyncio.run(wait())
    assert sent[-1]["headers"] == [(b"grpc-status", b"0")]
