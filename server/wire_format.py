"""Fields of Protocol Buffers whose length comes before them: bytes, messages, packed numbers.

Numbers are little-endian there, as in the raw contents of tensors.

Source: protobuf.dev, "Encoding", "Length-Delimited Records".
"""

import sys
from functools import lru_cache
from typing import Any, Final

from numpy.typing import NDArray

_LENGTH_DELIMITED: Final = 2
_IS_LITTLE_ENDIAN: Final = sys.byteorder == "little"


def number_of(message: Any, field: str) -> int:
    """The number of a field of a message type."""
    number: int = message.DESCRIPTOR.fields_by_name[field].number
    return number


@lru_cache(maxsize=1024)
def prefix(number: int, size: int) -> bytes:
    """What comes before so many bytes of a field: its tag, and their number."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(size)


def little_endian(array: NDArray[Any]) -> bytes:
    """The bytes of an array of the machine's own byte order, row by row."""
    return (array if _IS_LITTLE_ENDIAN else array.byteswap()).tobytes()


def floats(array: NDArray[Any]) -> bytes:
    """The bytes of numbers in a field of packed `float`, whatever kind the array has."""
    return array.astype("<f4", copy=False).tobytes()


def varint(value: int) -> bytes:
    """A number by seven bits a byte, the lowest first; the highest bit says that more follow."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
