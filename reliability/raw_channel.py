"""A gRPC caller that costs next to nothing: calls are bytes made once, and so are right answers.

It keeps the rules of HTTP/2 and knows of it only what sound unary calls need; what headers and
trailers say is not read: whether an answer is right, its bytes tell. Source: RFC 9113.
"""

import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, Self

from reliability import frames
from reliability.questions import Question

_MOST: Final = 2**31 - 1  # a window's largest size
_FIRST_WINDOW: Final = 65_535
_FRAME_BYTES: Final = 16_384
_READ_BYTES: Final = 1 << 18
_REFILL: Final = 1 << 24  # bytes of answers after which the window is opened again
_PREFIX_BYTES: Final = 5  # of a gRPC message
_SILENCE_SECONDS: Final = 30.0

Answer = tuple[Question, bytes]


class RawChannel:
    """Some connections to a server, each with so many calls under way."""

    def __init__(self, target: str, connections: int, window: int) -> None:
        self._target = target
        self._window = window
        self._selector = selectors.DefaultSelector()
        self._connections = [self._connect() for _ in range(connections)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()
        self._selector.close()

    def exchange(self, choose: Callable[[], Question]) -> list[Answer]:
        """Have as many calls under way as there may be, and wait for answers.

        The bytes of an answer are empty where a call has failed. Raises TimeoutError where nothing
        comes, ConnectionError where a connection breaks.
        """
        for place, connection in enumerate(self._connections):
            if connection.has_ended:
                self._selector.unregister(connection)
                connection.close()
                self._connections[place] = connection = self._connect()
            connection.fill(self._window, choose)
        answers: list[Answer] = []
        for key, _ in self._selector.select(_SILENCE_SECONDS):
            answers += key.data.receive()
        if any(connection.is_stuck() for connection in self._connections):
            raise TimeoutError(f"a call has no answer after {_SILENCE_SECONDS:g} s")
        return answers

    def _connect(self) -> "_Connection":
        connection = _Connection(self._target)
        self._selector.register(connection, selectors.EVENT_READ, connection)
        return connection


class _Connection:
    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._write(frames.PREFACE, frames.settings([(frames.INITIAL_WINDOW_SIZE, _MOST)]))
        self._write(frames.window_update(0, _MOST - _FIRST_WINDOW))
        # By stream, the oldest first: what was asked, when, and what has come of the answer.
        self._pending: dict[int, tuple[Question, float, list[bytes]]] = {}
        self._next = 1
        self._credit = _FIRST_WINDOW  # bytes that the server takes in at present
        self._taken = 0  # bytes since the window was opened again
        self._unread = b""
        self._is_ending = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    @property
    def has_ended(self) -> bool:
        """Whether the server wants a connection anew, and has answered all on this one."""
        return self._is_ending and not self._pending

    def is_stuck(self) -> bool:
        """Whether the oldest call has waited for too long."""
        oldest = next(iter(self._pending.values()), None)
        return oldest is not None and time.monotonic() - oldest[1] > _SILENCE_SECONDS

    def fill(self, window: int, choose: Callable[[], Question]) -> None:
        """Begin calls until there are as many as there may be."""
        out = []
        may_begin = 0 if self._is_ending else window
        while len(self._pending) < may_begin and self._credit > _FIRST_WINDOW // 2:
            question = choose()
            self._pending[self._next] = (question, time.monotonic(), [])
            out.append(_encode(question, self._next))
            self._credit -= len(question.message) + _PREFIX_BYTES
            self._next += 2
        self._write(*out)

    def receive(self) -> list[Answer]:
        """Read what has come; the answers that are whole now."""
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionError("the server has closed a connection")
        data, at, answers = self._unread + data, 0, []
        while len(data) - at >= frames.HEADER_BYTES:
            length = int.from_bytes(data[at : at + 3], "big")
            end = at + frames.HEADER_BYTES + length
            if end > len(data):
                break
            kind, flags, stream = struct.unpack_from(">BBI", data, at + 3)
            payload = data[at + frames.HEADER_BYTES : end]
            at = end
            if kind == frames.DATA and stream in self._pending:
                self._pending[stream][2].append(payload)
                self._taken += length
            elif kind in (frames.SETTINGS, frames.PING) and not flags & frames.ACK:
                answer = payload if kind == frames.PING else b""
                self._write(frames.frame(kind, payload=answer, flags=frames.ACK))
            elif kind == frames.WINDOW_UPDATE and not stream:
                self._credit += int.from_bytes(payload, "big")
            elif kind == frames.GOAWAY:
                self._is_ending = True
            is_end = kind in (frames.DATA, frames.HEADERS) and flags & frames.END_STREAM
            if (is_end or kind == frames.RST_STREAM) and stream in self._pending:
                question, _, parts = self._pending.pop(stream)
                answers.append((question, b"".join(parts)[_PREFIX_BYTES:]))
        self._unread = data[at:]
        if self._taken > _REFILL:
            self._write(frames.window_update(0, self._taken))
            self._taken = 0
        return answers

    def _write(self, *parts: bytes) -> None:
        if parts:
            self._socket.sendall(b"".join(parts))


def _encode(question: Question, stream: int) -> bytes:
    """A call's frames; all but the number of its stream is made once."""
    if not question.wire:
        whole = frames.message(question.message)
        parts = [whole[at : at + _FRAME_BYTES] for at in range(0, len(whole), _FRAME_BYTES)]
        fields = frames.call_fields(question.path.encode())
        made = [frames.headers(0, fields)]
        made += [frames.frame(frames.DATA, 0, part) for part in parts[:-1]]
        made.append(frames.frame(frames.DATA, 0, parts[-1], frames.END_STREAM))
        question.wire.extend(made)
    number = stream.to_bytes(4, "big")
    return b"".join(part[:5] + number + part[frames.HEADER_BYTES :] for part in question.wire)
