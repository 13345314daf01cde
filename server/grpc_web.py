"""gRPC-Web: a call's messages and its trailers as one body, in bytes or in base64.

Trailers with binary values stay in base64 in either form, as every implementation has them.
Source: github.com/grpc/grpc, doc/PROTOCOL-WEB.md.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Final

from server.errors import InvalidRequest

_BINARY: Final = ("application/grpc-web", "application/grpc-web+proto")
_TEXT: Final = ("application/grpc-web-text", "application/grpc-web-text+proto")
_PREFIX_BYTES: Final = 5  # flags, and four bytes of length
_TRAILERS: Final = 0x80
# Text may be put together of pieces that were encoded one by one, each with its padding.
_PIECE: Final = re.compile(rb"[^=]+={0,2}")


def is_grpc_web(content_type: str) -> bool:
    """Whether a body of this type is gRPC-Web with protobuf messages."""
    return _kind(content_type) in (*_BINARY, *_TEXT)


def answer_type(headers: Mapping[str, str]) -> str:
    """The content type of the answer to a request: text where it is text, or asked for."""
    kind = _kind(headers.get("content-type", ""))
    if kind in _BINARY and any(one in _TEXT for one in map(_kind, _accepted(headers))):
        return _TEXT[1]
    return kind if kind in (_BINARY[1], _TEXT[1]) else f"{kind}+proto"


def unwrap(content_type: str, body: bytes) -> bytes:
    """The one message of a request; raises InvalidRequest."""
    data = _decode(body) if _kind(content_type) in _TEXT else body
    if len(data) < _PREFIX_BYTES:
        raise InvalidRequest("body", f"has {len(data)} bytes; expected a message and its prefix")
    flags, size = data[0], int.from_bytes(data[1:_PREFIX_BYTES], "big")
    if flags:
        what = "trailers" if flags & _TRAILERS else "a compressed message"
        raise InvalidRequest("body", f"begins with {what}; expected a message as it is")
    end = _PREFIX_BYTES + size
    if end != len(data):
        raise InvalidRequest(
            "body",
            f"has {len(data) - _PREFIX_BYTES} bytes after the prefix, which says {size}; "
            "expected one message",
        )
    return data[_PREFIX_BYTES:end]


def wrap(
    content_type: str, message: bytes | None, trailers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """The body of an answer: its message, where there is one, and what ends the call.

    `trailers` are those of gRPC: grpc-status, grpc-message in percent-encoding, and the like.
    """
    data = b"" if message is None else frame(message)
    return encode(content_type, data + trailer_frame(trailers))


def frame(data: bytes, flags: int = 0) -> bytes:
    """A message after its prefix."""
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data


def trailer_frame(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """What ends a call, after its prefix."""
    return frame(b"".join(b"%b: %b\r\n" % trailer for trailer in trailers), _TRAILERS)


def encode(content_type: str, data: bytes) -> bytes:
    """Frames as they are sent under a content type."""
    return base64.b64encode(data) if _kind(content_type) in _TEXT else data


def _decode(body: bytes) -> bytes:
    pieces = _PIECE.findall(body)
    if sum(map(len, pieces)) != len(body) or len(body) % 4:
        raise InvalidRequest("body", "is no base64, or its padding is not")
    try:
        return b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in pieces)
    except binascii.Error as error:
        raise InvalidRequest("body", "is no base64") from error


def _accepted(headers: Mapping[str, str]) -> list[str]:
    return headers.get("accept", "").split(",")


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
