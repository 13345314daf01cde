"""Bursts of bytes at a port, one after the other, until an attack's time is up.

There are 50 bursts a second at most, and one of calls leaves the server three quarters of its time.
One without such a limit is a flood of work, and takes its share of the processor from anybody,
whatever it sends.
"""

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import grpc

from reliability import frames

Attack = Callable[[tuple[str, int], float], int]  # an address, seconds; returns its cases

CLASSIFY: Final = b"/gurmukhi.v1.DigitService/Classify"
LISTING: Final = b"/gurmukhi.v1.DigitService/ListModels"
CHECK: Final = b"/grpc.health.v1.Health/Check"
OPENING: Final = frames.PREFACE + frames.settings()
_TIMEOUT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.02  # between two bursts
_REST: Final = 3.0  # times as long as a burst of calls took
_SERVED_SECONDS: Final = 20.0


def connect(address: tuple[str, int]) -> socket.socket:
    """Open a connection that sends at once, and waits for seconds at most."""
    connection = socket.create_connection(address, timeout=_TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send(address: tuple[str, int], data: bytes) -> None:
    """Send bytes over a connection of their own, read what comes at once, and go."""
    with suppress(OSError), connect(address) as connection:
        connection.sendall(data)
        connection.settimeout(0.002)
        connection.recv(65536)


def repeat(seconds: float, once: Callable[[random.Random], int]) -> int:
    """Carry out bursts until the time is up, each with its share of chance; returns their cases."""
    rng, until, cases = random.Random(5), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        with suppress(OSError):
            cases += once(rng)
        time.sleep(_PAUSE_SECONDS)
    return cases


@contextmanager
def resting(address: tuple[str, int]) -> Iterator[Callable[[], None]]:
    """What waits until the server has come to what was sent, and then a few times as long."""
    with grpc.insecure_channel("{}:{}".format(*address)) as channel:
        ask: Any = channel.unary_unary(LISTING.decode(), None, None)
        began = time.monotonic()

        def rest() -> None:
            nonlocal began
            ask.future(b"", timeout=_SERVED_SECONDS).code()
            time.sleep(_REST * (time.monotonic() - began))
            began = time.monotonic()

        yield rest
