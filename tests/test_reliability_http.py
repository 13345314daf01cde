"""The port of probes under callers who connect and say nothing, or hardly anything."""

import socket
import time
from contextlib import ExitStack, suppress

import pytest
from conftest import RunningServer
from test_server_process import scrape


def test_a_burst_of_connections_delays_no_probe(server: RunningServer) -> None:
    with ExitStack() as held:
        started = time.monotonic()
        for _ in range(300):
            address = ("127.0.0.1", server.http_port)
            held.enter_context(socket.create_connection(address, timeout=10))
        assert scrape(server)
        assert time.monotonic() - started < 15  # with a backlog of 5 each burst waits a second


@pytest.mark.slow
def test_a_caller_who_sends_a_byte_now_and_then_is_cut_off(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as connection:
        started = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - started < 40:
                connection.send(b"x")
                time.sleep(0.2)
        assert time.monotonic() - started < 25
