"""Read at once a request that differs from an earlier one in its pixels alone.

A client's requests are mostly alike: model, outputs and shapes stay. Where the bytes around the
pixels are those of a request that was read before, so is all that they say, since the bytes of a
`bytes` field mean nothing to Protocol Buffers (encoding guide, "Length-Delimited Records").
"""

from collections.abc import Callable
from threading import Lock
from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from gurmukhi.image import SIDE
from server.wire_format import varint

_INVERTED: Final = bytes(range(255, -1, -1))
# Kept of one length, and lengths. Of a request there are so many bytes around its pixels at most:
# fewer than an image has, so that no other field can be as long and change places with them.
_OF_ONE_LENGTH: Final = 16
_LENGTHS: Final = 256
_AROUND_BYTES: Final = 512
# Of larger batches the graph takes so long that reading the request does not matter.
_MOST_PIXELS: Final = 256 * SIDE * SIDE


class Prepared(NamedTuple):
    """A request of which only the pixels were read."""

    asked: Any  # what the rest of the message asks
    pixels: NDArray[np.uint8]  # (N, 32, 32)


class _Known(NamedTuple):
    before: bytes  # the pixels
    after: bytes
    asked: Any


class PreparedRequests:
    """Reads the requests of one method.

    `pixels_of` gives the pixels of a message, whole images and at least one, that has them in one
    piece and can be answered by them and the rest of it; None of any other. `put_pixels` puts
    others in their place, and `keep` makes of a message without pixels what is kept of it.
    """

    def __init__(
        self,
        request_type: Any,
        pixels_of: Callable[[Any], bytes | None],
        put_pixels: Callable[[Any, bytes], None],
        keep: Callable[[Any], Any],
    ) -> None:
        self._read = request_type.FromString
        self._pixels_of = pixels_of
        self._put_pixels = put_pixels
        self._keep = keep
        self._known: dict[int, tuple[_Known, ...]] = {}  # by the length of the whole
        self._lock = Lock()  # of those who add to them

    def parse(self, data: bytes) -> Any:
        """A message, or a Prepared; raises DecodeError."""
        for before, after, asked in self._known.get(len(data), ()):
            if data.startswith(before) and data.endswith(after):
                size = len(data) - len(before) - len(after)
                images = np.frombuffer(data, np.uint8, size, len(before))
                return Prepared(asked, images.reshape(-1, SIDE, SIDE))
        request = self._read(data)
        pixels = self._pixels_of(request)
        if (
            pixels is not None
            and len(pixels) <= _MOST_PIXELS
            and len(data) - len(pixels) <= _AROUND_BYTES
        ):
            self._prepare(data, pixels)
        return request

    def _prepare(self, data: bytes, pixels: bytes) -> None:
        """Keep what a request says beside its pixels, if it is certain where they are.

        Equal bytes may be elsewhere too, and not be read as pixels; then other bytes in their place
        do not give other pixels.
        """
        start = _find(pixels, data)
        if start is None:
            return
        before, after = data[:start], data[start + len(pixels) :]
        others = pixels.translate(_INVERTED)
        expected = self._read(data)
        self._put_pixels(expected, others)
        try:
            is_certain = self._read(before + others + after) == expected
        except DecodeError:  # they are in a text, which not all bytes are
            return
        if not is_certain:
            return
        self._put_pixels(expected, b"")
        # Anew: a message holds on to the memory of whatever it has had.
        known = _Known(before, after, self._keep(self._read(expected.SerializeToString())))
        with self._lock:
            others_known = self._known.get(len(data), ())
            if any(one[:2] == known[:2] for one in others_known):  # another thread was first
                return
            self._known[len(data)] = (known, *others_known[: _OF_ONE_LENGTH - 1])
            if len(self._known) > _LENGTHS:
                del self._known[next(iter(self._known))]


def _find(pixels: bytes, data: bytes) -> int | None:
    """Where in a message its pixels are, if at one of the two places where writers put them.

    They are its last field, or the first that is as long; to search for them could take a while.
    """
    last, length = len(data) - len(pixels), varint(len(pixels))
    first = data.find(length, 0, last) + len(length)
    return next((start for start in (last, first) if data.startswith(pixels, start)), None)
