"""HTTP/2 by hand, as a caller may write it who keeps no rule.

Source: RFC 9113 (frames), RFC 7541 (HPACK; only literals without indexing are written here), and
github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
HEADER_BYTES: Final = 9  # of a frame
END_STREAM: Final = 0x1
INITIAL_WINDOW_SIZE: Final = 4  # of SETTINGS
ACK: Final = 0x1
END_HEADERS: Final = 0x4
_CANCEL: Final = 8


def frame(kind: int, stream: int = 0, payload: bytes = b"", flags: int = 0) -> bytes:
    """One frame."""
    return framed(len(payload), kind, stream, payload, flags)


def framed(length: int, kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    """One frame whose length field says whatever is wanted, true or not."""
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(pairs: Iterable[tuple[int, int]] = ()) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def reset(stream: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, stream, struct.pack(">I", _CANCEL))


def window_update(stream: int, size: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, stream, struct.pack(">I", size))


def headers(stream: int, fields: Sequence[tuple[bytes, bytes]], flags: int = END_HEADERS) -> bytes:
    """A HEADERS frame."""
    return frame(HEADERS, stream, b"".join(literal(*one) for one in fields), flags)


def literal(name: bytes, value: bytes) -> bytes:
    """A header field, a literal that is not indexed and not compressed."""
    return b"\0" + _string(name) + _string(value)


def call_fields(path: bytes, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The header fields of a gRPC call."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]


def message(data: bytes, *, compressed: bool = False, length: int | None = None) -> bytes:
    """A gRPC message with its prefix; `length` may lie."""
    return struct.pack(">BI", compressed, len(data) if length is None else length) + data


def call(stream: int, path: bytes, data: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A whole unary call."""
    return headers(stream, call_fields(path, *more)) + frame(
        DATA, stream, message(data), END_STREAM
    )


def _string(text: bytes) -> bytes:
    return _integer(len(text), 7) + text


def _integer(value: int, bits: int) -> bytes:
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([value])
    out, value = [limit], value - limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])
