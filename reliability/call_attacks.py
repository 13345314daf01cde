"""Abuse of a port by calls: spoiled, reset, never finished, never read, false in what they say."""

import gzip
import random
import socket
from contextlib import ExitStack

from reliability import frames
from reliability.bursts import CHECK, CLASSIFY, LISTING, OPENING, connect, repeat, resting, send


def spoiled_calls(address: tuple[str, int], seconds: float) -> int:
    """A sound call with a few of its bytes changed."""
    sound = OPENING + b"".join(
        frames.call(1 + 2 * i, path, b"\x0a\x04abcd") for i, path in enumerate((CLASSIFY, CHECK))
    )

    def once(rng: random.Random) -> int:
        data = bytearray(sound)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        send(address, bytes(data))
        return 1

    return repeat(seconds, once)


def rapid_reset(address: tuple[str, int], seconds: float) -> int:
    """Streams that are begun and reset at once (CVE-2023-44487)."""
    with resting(address) as rest:

        def once(rng: random.Random) -> int:
            with connect(address) as connection:
                connection.sendall(OPENING)
                burst = b"".join(
                    frames.headers(stream, frames.call_fields(CLASSIFY)) + frames.reset(stream)
                    for stream in range(1, 200, 2)
                )
                connection.sendall(burst)
            rest()
            return 100

        return repeat(seconds, once)


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
        call = frames.headers(1, frames.call_fields(CLASSIFY, *encoding))
        parts = [body[start : start + 16000] for start in range(0, len(body), 16000)]
        data = b"".join(frames.frame(frames.DATA, 1, part) for part in parts)
        end = frames.frame(frames.DATA, 1, b"", frames.END_STREAM)
        send(address, OPENING + call + data + (end if rng.random() < 0.5 else b""))
        return 1

    return repeat(seconds, once)


def control_characters(address: tuple[str, int], seconds: float) -> int:
    """Paths and metadata with line ends, escapes and NUL, for whoever reads a log."""
    texts = (b"a\nEVIL", b"a\r\nEVIL: 1", b"\x1b[31mEVIL", b"\0EVIL", b"\xff\xfeEVIL", b'EVIL"} 1')

    def once(rng: random.Random) -> int:
        text = rng.choice(texts)
        fields = frames.call_fields(
            rng.choice([CLASSIFY, CHECK, b"/" + text, text, b"/gurmukhi.v1.DigitService/" + text]),
            (rng.choice([b"traceparent", b"user-agent", b"x-\nEVIL", b"authorization"]), text),
            (b"grpc-timeout", rng.choice([b"1S", b"99999999H", b"-1S", text])),
        )
        body = frames.frame(frames.DATA, 1, frames.message(b""), frames.END_STREAM)
        send(address, OPENING + frames.headers(1, fields) + body)
        return 1

    return repeat(seconds, once)


def half_open_calls(address: tuple[str, int], seconds: float) -> int:
    """A thousand calls of ten connections that send headers and no message."""
    with resting(address) as rest:

        def once(rng: random.Random) -> int:
            with ExitStack() as held:
                for _ in range(10):
                    connection = held.enter_context(connect(address))
                    fields = frames.call_fields(rng.choice([CLASSIFY, CHECK]))
                    calls = (frames.headers(1 + 2 * i, fields) for i in range(100))
                    connection.sendall(OPENING + b"".join(calls))
                rest()
            rest()
            return 1000

        return repeat(seconds, once)


def unread_answers(address: tuple[str, int], seconds: float) -> int:
    """Callers who ask and never read: their window is 0, or their socket is full."""
    with resting(address) as rest:

        def once(rng: random.Random) -> int:
            with ExitStack() as held:
                for _ in range(20):
                    connection = held.enter_context(connect(address))
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    window = (frames.INITIAL_WINDOW_SIZE, rng.choice([0, 1 << 30]))
                    opening = frames.PREFACE + frames.settings([window])
                    calls = b"".join(frames.call(1 + 2 * i, LISTING, b"") for i in range(50))
                    connection.sendall(opening + calls)
                rest()
            rest()
            return 1000

        return repeat(seconds, once)
