"""What becomes of connections: their age, their pings, and what is offered on them."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from conftest import RunningServer, serving
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from gurmukhi.v1.digits_pb2_grpc import DigitServiceStub
from reliability.frames import GOAWAY, PING, PREFACE, frame, settings

pytestmark = pytest.mark.usefixtures("front")

IMAGES, _ = synthetic_digits(1, 88)
REQUEST = pb.ClassifyRequest(image=pb.Image(pixels=IMAGES[0].tobytes()), top_k=10)
ENHANCE_YOUR_CALM = 0xB  # RFC 9113, section 7


def frames_of(running: RunningServer, opening: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and payload of what the server sends to a client that sends `opening` and no more."""
    with (
        socket.create_connection(("127.0.0.1", running.grpc_port), timeout=30) as connection,
        connection.makefile("rb") as incoming,
    ):
        connection.sendall(PREFACE + settings() + opening)
        while head := incoming.read(9):
            length, kind = struct.unpack(">I", b"\0" + head[:3])[0], head[3]
            yield kind, incoming.read(length)


def test_a_connection_of_age_is_told_to_go(models: Path) -> None:
    with serving(models, "--max-connection-age-seconds", "0.5") as running:
        assert any(kind == GOAWAY for kind, _ in frames_of(running, b""))


def test_an_idle_connection_is_pinged(models: Path) -> None:
    with serving(models, "--keepalive-seconds", "1") as running:
        assert any(kind == PING for kind, _ in frames_of(running, b""))


def test_a_client_that_pings_without_end_is_told_to_calm_down(models: Path) -> None:
    pings = frame(PING, payload=bytes(8)) * 50
    with serving(models, "--front", "grpcio") as running:  # Envoy answers each, as long as it reads
        reasons = [payload for kind, payload in frames_of(running, pings) if kind == GOAWAY]
    assert struct.unpack(">I", reasons[-1][4:8])[0] == ENHANCE_YOUR_CALM


def test_reflection_can_be_switched_off(models: Path) -> None:
    with (
        serving(models, "--no-reflection") as running,
        grpc.insecure_channel(running.target) as channel,
    ):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(iter([question]), timeout=5))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_stream_whose_answers_nobody_reads_takes_no_more_requests(server: RunningServer) -> None:
    """The server reads the next request when the last is answered, so the sender has to wait."""
    sent = 0
    stopped = threading.Event()

    def requests() -> Iterator[pb.ClassifyRequest]:
        nonlocal sent
        while not stopped.is_set():
            sent += 1
            yield REQUEST

    with grpc.insecure_channel(server.target) as channel:
        replies = DigitServiceStub(channel).ClassifyStream(requests())
        before, until = -1, time.monotonic() + 60
        while sent != before:
            assert time.monotonic() < until, f"{sent} requests were taken"
            before = sent
            time.sleep(1)
        assert [next(replies).index for _ in range(before // 2)] == list(range(before // 2))
        stopped.set()
        replies.cancel()
