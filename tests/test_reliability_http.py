"""The port of probes under callers who connect and say nothing, or hardly anything."""

import socket
import struct
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from conftest import RunningServer, serving
from test_server_process import scrape


def test_a_burst_of_connections_delays_no_probe(server: RunningServer) -> None:
    with ExitStack() as held:
        started = time.monotonic()
        for _ in range(300):
            address = ("127.0.0.1", server.http_port)
            held.enter_context(socket.create_connection(address, timeout=10))
        assert scrape(server)
        assert time.monotonic() - started < 15  # with a backlog of 5 each burst waits a second


def test_a_caller_who_breaks_off_leaves_no_trace_in_the_log(
    models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reset_at_close = struct.pack("ii", 1, 0)
    with serving(models, "--log-format", "json") as running:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", running.http_port)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
                connection.sendall(b"GET /metrics")
                time.sleep(0.05)  # until it is read from
        assert scrape(running)
    assert all(line.startswith("{") for line in capfd.readouterr().err.splitlines())


@pytest.mark.slow
def test_a_caller_who_sends_a_byte_now_and_then_is_cut_off(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as connection:
        started = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - started < 40:
                connection.send(b"x")
                time.sleep(0.2)
        assert time.monotonic() - started < 25
