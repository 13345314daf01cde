"""The health service by itself, with watchers that are slow; and watchers that come and go."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from conftest import serving

from gurmukhi.health import health_pb2 as pb
from gurmukhi.health.health_pb2_grpc import HealthStub
from server.health import HealthService

pytestmark = pytest.mark.usefixtures("front")

SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def health() -> Iterator[HealthService]:
    with ThreadPoolExecutor(2) as pool:
        service = HealthService(pool)
        service.set({"": True, "model/mlp": True})
        yield service


class SlowWatcher:
    """Takes its first message only when it is told to."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()
        self.has_heard_last = threading.Event()

    def send(self, message: pb.HealthCheckResponse) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(10)
        self.heard.append(message.status)
        if message.status == NOT_SERVING:
            self.has_heard_last.set()


def test_a_watcher_that_is_slow_holds_up_nobody(health: HealthService) -> None:
    slow = SlowWatcher()
    request = pb.HealthCheckRequest(service="model/mlp")
    watching = threading.Thread(target=health.watch, args=(request, slow.send))
    watching.start()
    assert slow.has_begun.wait(10)

    heard: list[int] = []
    unsubscribe = health.watch(request, lambda message: heard.append(message.status))
    unsubscribe()  # as grpcio does it, on the one thread that serves
    assert heard == [SERVING]
    health.set({"": True, "model/mlp": False})
    health.set({"": True, "model/mlp": True})
    health.drain()

    slow.may_go_on.set()
    watching.join(10)
    assert slow.has_heard_last.wait(10)
    assert slow.heard == [SERVING, NOT_SERVING]  # what was overtaken is left out


def test_watchers_come_and_go_beside_one_another(models: Path) -> None:
    """grpcio sends and ends calls on one thread: a lock held while sending would stop it."""
    with serving(models) as running:

        def watch_often(_: int) -> int:
            with grpc.insecure_channel(running.target) as channel:
                stub = HealthStub(channel)
                for _ in range(150):
                    call = stub.Watch(pb.HealthCheckRequest(service=""), timeout=10)
                    assert next(call).status == SERVING
                    call.cancel()
            return 150

        with ThreadPoolExecutor(4) as callers:
            assert sum(callers.map(watch_often, range(4))) == 600
