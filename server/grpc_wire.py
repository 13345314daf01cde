"""gRPC over HTTP/2: messages in frames, time-outs in a header, statuses in trailers.

Source: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md.
"""

import base64
import re
from collections.abc import Callable, Iterator
from typing import Final

from server.compression import ALGORITHMS, inflate
from server.errors import InvalidRequest, MessageTooLarge, Unsupported

Headers = list[tuple[bytes, bytes]]

CONTENT_TYPE: Final = b"application/grpc"
STATUS_DETAILS: Final = "grpc-status-details-bin"
_PREFIX_BYTES: Final = 5  # whether it is compressed, and four bytes of length
_TIMEOUT: Final = re.compile(rb"(\d{1,8})([HMSmun])")
_UNIT_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
# What stands for itself in grpc-message: printable ASCII but for the percent sign.
_PLAIN: Final = re.compile(r"[ -$&-~]*")


def read_timeout(value: bytes) -> float:
    """Seconds of a `grpc-timeout` header, such as `100m`; raises InvalidRequest."""
    found = _TIMEOUT.fullmatch(value)
    if not found:
        raise InvalidRequest("grpc-timeout", "is no number of at most eight digits and a unit")
    return int(found[1]) * _UNIT_SECONDS[found[2]]


def frame(message: bytes) -> bytes:
    """A message as it is sent: its prefix and itself."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Frames:
    """The messages of one call, put together from what comes of its body.

    A message that says that it is too large is refused before it has come. `encoding` is the
    call's `grpc-encoding`, and `may_compress` whether the server takes any but identity.
    """

    def __init__(self, limit: int, encoding: bytes, *, may_compress: bool) -> None:
        self._limit = limit
        self._inflate = _inflater(encoding, may_compress=may_compress)
        self._buffer = b""

    def add(self, chunk: bytes) -> Iterator[bytes]:
        """The messages that are whole by now; raises ServiceError."""
        buffer = self._buffer = self._buffer + chunk if self._buffer else chunk
        while len(buffer) >= _PREFIX_BYTES:
            size = int.from_bytes(buffer[1:_PREFIX_BYTES], "big")
            if size > self._limit:
                raise MessageTooLarge(size, self._limit)
            end = _PREFIX_BYTES + size
            if len(buffer) < end:
                break
            flag, message = buffer[0], buffer[_PREFIX_BYTES:end]
            buffer = self._buffer = buffer[end:]
            yield message if not flag else self._inflate(message, self._limit)

    def end(self) -> None:
        """The body has ended; raises InvalidRequest where a message is cut off."""
        if self._buffer:
            raise InvalidRequest("request", "ends within a message")


def _inflater(encoding: bytes, *, may_compress: bool) -> Callable[[bytes, int], bytes]:
    if not encoding or encoding == b"identity":  # most calls
        return _refuse_marked
    if encoding.decode("latin-1") in ALGORITHMS and may_compress:
        return inflate

    def refuse(message: bytes, limit: int) -> bytes:
        raise Unsupported(f"grpc-encoding {encoding[:20]!r} is not taken here")

    return refuse


def _refuse_marked(message: bytes, limit: int) -> bytes:
    raise InvalidRequest("request", "is marked as compressed, by no algorithm")


def status_headers(code: int, message: str = "", details: bytes = b"") -> Headers:
    """A status as trailers, or as the headers of a response that has nothing else."""
    headers = [(b"grpc-status", b"%d" % code)]
    if message:
        headers.append((b"grpc-message", encode_message(message)))
    if details:
        packed = base64.b64encode(details).rstrip(b"=")
        headers.append((STATUS_DETAILS.encode(), packed))
    return headers


def encode_message(message: str) -> bytes:
    """Text as `grpc-message` has it: UTF-8, percent-encoded where it is not printable ASCII."""
    if _PLAIN.fullmatch(message):
        return message.encode("ascii")
    return b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in message.encode("utf-8", "backslashreplace")
    )
