"""Compressed messages, never unpacked past a limit: a few kilobytes could unpack without end."""

import zlib
from typing import Final

from server.errors import InvalidRequest, MessageTooLarge

ALGORITHMS: Final = ("gzip", "deflate")
# zlib's window, and 32 more: the format, gzip's or zlib's, is told by its header.
_ANY_FORMAT: Final = zlib.MAX_WBITS | 32


def inflate(message: bytes, limit: int) -> bytes:
    """Unpack a message of gzip or deflate; raises MessageTooLarge or InvalidRequest."""
    stream = zlib.decompressobj(_ANY_FORMAT)
    try:
        unpacked = stream.decompress(message, limit + 1)
    except zlib.error as error:
        raise InvalidRequest("request", "cannot be decompressed") from error
    if len(unpacked) > limit:
        raise MessageTooLarge(len(unpacked), limit)
    if not stream.eof:
        raise InvalidRequest("request", "cannot be decompressed: it is cut off")
    return unpacked
