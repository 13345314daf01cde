"""A drain ends what only waits, at once, and lets what is under way finish."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import RunningServer, serving
from grpc_reflection.v1alpha import reflection_pb2_grpc

from gurmukhi.health import health_pb2, health_pb2_grpc
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from gurmukhi.v1.digits_pb2_grpc import DigitServiceStub

pytestmark = pytest.mark.usefixtures("front")

IMAGES, _ = synthetic_digits(1, 86)
REQUEST = pb.ClassifyRequest(image=pb.Image(pixels=IMAGES[0].tobytes()))
LONG = ("--drain-seconds", "60")


class Requests:
    """The requests of a stream, given one by one."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put(self, request: object) -> None:
        self._queue.put(request)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        request = self._queue.get()
        if request is None:
            raise StopIteration
        return request


@pytest.fixture
def requests() -> Iterator[Callable[[], Requests]]:
    """Makes endless requests, which end with the test."""
    made: list[Requests] = []

    def make() -> Requests:
        made.append(Requests())
        return made[-1]

    yield make
    for one in made:
        one.put(None)


def stop(running: RunningServer) -> None:
    running.process.send_signal(signal.SIGTERM)


def ended_soon(running: RunningServer) -> bool:
    """Whether it ended well before the drain's limit, with exit code 0."""
    return running.process.wait(timeout=30) == 0


def assert_unavailable(call: Callable[[], object]) -> None:
    """That it ends with UNAVAILABLE, so that its caller goes elsewhere."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_idle_stream_is_ended_with_unavailable(
    models: Path, requests: Callable[[], Requests], workers: str
) -> None:
    flags = (*LONG, "--workers", workers)
    with serving(models, *flags) as running, grpc.insecure_channel(running.target) as channel:
        given = requests()
        replies = DigitServiceStub(channel).ClassifyStream(given, timeout=30)
        given.put(REQUEST)
        assert next(replies).response.model.name
        stop(running)
        assert_unavailable(lambda: next(replies))
        assert ended_soon(running)


def test_watchers_and_half_open_calls_are_ended_with_unavailable(
    models: Path, requests: Callable[[], Requests]
) -> None:
    with serving(models, *LONG) as running, grpc.insecure_channel(running.target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        begin = channel.stream_unary("/gurmukhi.v1.DigitService/Classify", None, None)
        half_open = begin.future(requests(), timeout=30)
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel)
        reflection = reflect.ServerReflectionInfo(requests())
        time.sleep(0.5)  # until they have arrived
        stop(running)
        for call in (half_open.result, lambda: list(watch), lambda: next(reflection)):
            assert_unavailable(call)
        assert ended_soon(running)


def test_a_stream_at_work_gets_the_answer_to_its_present_request(
    models: Path, requests: Callable[[], Requests]
) -> None:
    """Requests are sent ahead; whatever is answered is answered in order, until the stream ends."""
    with serving(models, *LONG) as running, grpc.insecure_channel(running.target) as channel:
        given = requests()
        replies = DigitServiceStub(channel).ClassifyStream(given, timeout=30)
        stopped = threading.Event()

        def send() -> None:
            while not stopped.is_set():
                given.put(REQUEST)
                time.sleep(0.0005)

        sender = threading.Thread(target=send)
        sender.start()
        answered = []
        try:
            for reply in replies:
                answered.append(reply.index)
                if len(answered) == 20:
                    stop(running)
        except grpc.RpcError as error:
            code = error.code()
        finally:
            stopped.set()
            sender.join()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert answered == list(range(len(answered)))
        assert ended_soon(running)


def test_streams_are_answered_through_the_pause(
    models: Path, requests: Callable[[], Requests]
) -> None:
    with (
        serving(models, *LONG, "--pause-seconds", "2") as running,
        grpc.insecure_channel(running.target) as channel,
    ):
        given = requests()
        replies = DigitServiceStub(channel).ClassifyStream(given, timeout=30)
        given.put(REQUEST)
        next(replies)
        stop(running)
        time.sleep(0.5)
        given.put(REQUEST)
        assert next(replies).response.model.name
        assert ended_soon(running)
