"""Calls that are begun and not finished hold up nobody else."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from conftest import RunningServer, serving
from test_server_process import scrape

from gurmukhi.client import DigitClient
from gurmukhi.health import health_pb2, health_pb2_grpc
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from reliability import frames

pytestmark = pytest.mark.usefixtures("front")

IMAGES, _ = synthetic_digits(1, 91)
CLASSIFY = b"/gurmukhi.v1.DigitService/Classify"
CHECK = b"/grpc.health.v1.Health/Check"
WATCH = b"/grpc.health.v1.Health/Watch"
LIST_MODELS = b"/gurmukhi.v1.DigitService/ListModels"


@contextmanager
def begun(running: RunningServer, path: bytes, count: int) -> Iterator[socket.socket]:
    """Calls on one connection that have sent their headers and no message."""
    with socket.create_connection(("127.0.0.1", running.grpc_port)) as connection:
        opening = b"".join(
            frames.headers(1 + 2 * index, frames.call_fields(path)) for index in range(count)
        )
        connection.sendall(frames.PREFACE + frames.settings() + opening)
        wait_until_begun(running, path, count)
        yield connection


def wait_until_begun(running: RunningServer, path: bytes, count: int) -> None:
    service, method = path.decode().strip("/").split("/")
    for _ in range(400):
        started = sum(
            value
            for (name, labels), value in scrape(running).items()
            if name == "grpc_server_started_total"
            and {("grpc_service", service), ("grpc_method", method)} <= labels
        )
        if started >= count:
            return
    raise AssertionError(f"{started} of {count} calls arrived")


@pytest.mark.parametrize("path", [CLASSIFY, CHECK, WATCH, LIST_MODELS])
def test_calls_without_a_message_hold_no_thread_and_no_place(models: Path, path: bytes) -> None:
    with (
        serving(models, "--threads", "1", "--queue", "0") as running,
        grpc.insecure_channel(running.target) as channel,
        begun(running, path, 200),
        DigitClient(running.target, timeout_seconds=10, retries=False) as client,
    ):
        assert client.classify(IMAGES[0]).digit in range(10)
        assert client.list_models()
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        assert health.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        assert next(health.Watch(request, timeout=10)).status


def test_calls_that_are_reset_at_once_take_no_place(models: Path) -> None:
    burst = b"".join(
        frames.headers(stream, frames.call_fields(CLASSIFY)) + frames.reset(stream)
        for stream in range(1, 400, 2)
    )
    with (
        serving(models, "--threads", "1", "--queue", "0") as running,
        DigitClient(running.target, timeout_seconds=10, retries=False) as client,
    ):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", running.grpc_port)) as connection:
                connection.sendall(frames.PREFACE + frames.settings() + burst)
                assert client.classify(IMAGES[0]).digit in range(10)


def test_a_message_that_comes_late_is_answered(models: Path) -> None:
    request = pb.ClassifyRequest(image=pb.Image(pixels=IMAGES[0].tobytes())).SerializeToString()
    with serving(models) as running, begun(running, CLASSIFY, 1) as connection:
        message = frames.message(request)
        connection.sendall(frames.frame(frames.DATA, 1, message[:100]))
        connection.sendall(frames.frame(frames.DATA, 1, message[100:], frames.END_STREAM))
        connection.settimeout(10)
        received = b""
        while b"mlp" not in received:  # the answer names its model
            part = connection.recv(65536)
            assert part
            received += part


@pytest.mark.parametrize(("path", "most"), [(CLASSIFY, 128), (CHECK, 32), (LIST_MODELS, 32)])
def test_the_oldest_of_too_many_begun_calls_make_room(models: Path, path: bytes, most: int) -> None:
    """Each may have most of a message here, so that their number is bounded."""
    with serving(models) as running, begun(running, path, 300):
        refused = frozenset({("reason", "queue_full")})
        for _ in range(400):
            figures = scrape(running)
            if figures["gurmukhi_inflight_requests", frozenset()] == most:
                break
        assert figures["gurmukhi_rejected_total", refused] == 300 - most
        with DigitClient(running.target, timeout_seconds=10, retries=False) as client:
            assert client.classify(IMAGES[0]).digit in range(10)


def test_as_many_begun_calls_as_the_queue_holds_are_waited_for(models: Path) -> None:
    request = pb.ClassifyRequest(image=pb.Image(pixels=IMAGES[0].tobytes())).SerializeToString()
    message = frames.message(request)
    refused = frozenset({("reason", "queue_full")})
    with (
        serving(models, "--queue", "300") as running,
        begun(running, CLASSIFY, 300) as connection,
    ):
        time.sleep(0.3)  # longer than one that is given up is still waited for
        assert scrape(running)["gurmukhi_inflight_requests", frozenset()] == 300
        # The last ones, since a connection takes in so many bytes only.
        for stream in range(559, 601, 2):
            connection.sendall(frames.frame(frames.DATA, stream, message, frames.END_STREAM))
        handled = {"grpc_type": "unary", "grpc_service": "gurmukhi.v1.DigitService"}
        handled |= {"grpc_method": "Classify", "grpc_code": "OK"}
        answered = "grpc_server_handled_total", frozenset(handled.items())
        for _ in range(400):
            figures = scrape(running)
            if figures[answered] == 21:  # read before those in flight, and counted after them
                break
        assert figures[answered] == 21
        assert figures["gurmukhi_inflight_requests", frozenset()] == 279
        assert not figures["gurmukhi_rejected_total", refused]


def test_begun_calls_that_are_given_up_are_counted_and_gone(models: Path) -> None:
    with serving(models) as running:
        with begun(running, CLASSIFY, 50):
            assert scrape(running)["gurmukhi_inflight_requests", frozenset()] == 50
        for _ in range(400):
            figures = scrape(running)
            if figures["gurmukhi_inflight_requests", frozenset()] == 0:
                break
        dropped = figures["gurmukhi_rejected_total", frozenset({("reason", "cancelled")})]
        assert dropped == 50
