"""Abuse of a port by HTTP/2 that keeps no rule, and by connections that do nothing."""

import os
import random
import socket
import struct
import time
from contextlib import ExitStack, suppress

from reliability import frames
from reliability.bursts import CLASSIFY, OPENING, connect, repeat, send


def garbage(address: tuple[str, int], seconds: float) -> int:
    """Random bytes, with the preface before them and without."""

    def once(rng: random.Random) -> int:
        noise = rng.randbytes(rng.randrange(1, 4096))
        send(address, rng.choice([b"", frames.PREFACE, OPENING]) + noise)
        return 1

    return repeat(seconds, once)


def broken_frames(address: tuple[str, int], seconds: float) -> int:
    """Frames of every kind with any flags, streams, payloads and lengths, a hundred at a time."""

    def once(rng: random.Random) -> int:
        sent = [OPENING]
        for _ in range(100):
            payload = rng.randbytes(rng.choice([0, 4, 5, 6, 8, 9, 64]))
            length = len(payload) if rng.random() < 0.9 else rng.randrange(1 << 24)
            stream = rng.choice([0, 1, 2, 3, 5, (1 << 31) - 1])
            sent.append(
                frames.framed(length, rng.randrange(12), stream, payload, rng.randrange(256))
            )
        send(address, b"".join(sent))
        return 100

    return repeat(seconds, once)


def endless_headers(address: tuple[str, int], seconds: float) -> int:
    """A header block that never ends (the CONTINUATION flood of 2024)."""

    def once(rng: random.Random) -> int:
        block = frames.literal(b"x", b"y" * 1000)
        with connect(address) as connection:
            opening = frames.headers(1, frames.call_fields(CLASSIFY), flags=0)
            connection.sendall(OPENING + opening)
            for _ in range(50):
                connection.sendall(frames.frame(frames.CONTINUATION, 1, block * 8))
        return 50

    return repeat(seconds, once)


def header_bomb(address: tuple[str, int], seconds: float) -> int:
    """A large header that is indexed once and named thousands of times (CVE-2016-6581)."""
    large = b"\x40" + frames.literal(b"bomb", b"z" * 4000)[1:]  # with incremental indexing
    named = b"\xbe" * 2000  # the first entry of the dynamic table: 8 MB of header fields

    def once(rng: random.Random) -> int:
        fields = b"".join(frames.literal(*one) for one in frames.call_fields(CLASSIFY))
        block = frames.frame(frames.HEADERS, 1, fields + large + named, frames.END_HEADERS)
        send(address, OPENING + block)
        return 1

    return repeat(seconds, once)


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
        with connect(address) as connection:
            connection.sendall(OPENING + rng.choice(kinds) * 1000)
        return 1000

    return repeat(seconds, once)


def slow_senders(address: tuple[str, int], seconds: float) -> int:
    """Two hundred connections that send a byte at a time."""
    data = OPENING + frames.call(1, CLASSIFY, b"x")
    until = time.monotonic() + seconds
    with ExitStack() as held:
        senders = [held.enter_context(connect(address)) for _ in range(200)]
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
            connection = held.enter_context(connect(address))
            if index % 2:
                connection.sendall(OPENING)
        time.sleep(seconds)
    return 1000


def torn_connections(address: tuple[str, int], seconds: float) -> int:
    """Connections that are reset in the middle of a call."""
    call = OPENING + frames.call(1, CLASSIFY, os.urandom(2000))

    def once(rng: random.Random) -> int:
        with connect(address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(call[: rng.randrange(len(call))])
        return 1

    return repeat(seconds, once)


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
        send(address, rng.choice([*texts, rng.randbytes(500)]))
        return 1

    return repeat(seconds, once)
