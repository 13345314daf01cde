"""Tensors as JSON: numbers, booleans and strings, nested by the shape or flat, to raw and back.

Nothing is converted silently: a value must be of its datatype's kind and range. BYTES are strings
in UTF-8, or in base64 where the input has a parameter `content_type` of `base64`.
Source: Open Inference Protocol v2, "Tensor Data" (github.com/kserve/open-inference-protocol).
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import TensorError
from gurmukhi.tensor import BYTES, dtype_of, to_raw
from server.errors import InvalidRequest
from server.json_body import expect, expect_text, kind_of, shortest
from server.proto_json import read_base64

_MOST_DIMENSIONS: Final = 64  # of a NumPy array
_MOST: Final = 2**63 - 1
# The kinds of JSON values by a dtype's kind, and what they are called.
_EXPECTED: Final[dict[str, tuple[frozenset[type], str]]] = {
    "b": (frozenset({bool}), "true or false"),
    "u": (frozenset({int}), "whole numbers"),
    "i": (frozenset({int}), "whole numbers"),
    "f": (frozenset({int, float}), "numbers"),
    "O": (frozenset({str}), "strings"),
}


def read_shape(value: Any, field: str) -> list[int]:
    """A tensor's shape; raises InvalidRequest."""
    shape: list[int] = expect(value, list, field)
    if len(shape) > _MOST_DIMENSIONS:
        raise InvalidRequest(
            field, f"has {len(shape)} dimensions; expected {_MOST_DIMENSIONS} at most"
        )
    for index, size in enumerate(shape):
        if type(size) is not int or not 0 <= size <= _MOST:
            raise InvalidRequest(f"{field}[{index}]", f"is no whole number from 0 to {_MOST}")
    return shape


def read_data(
    data: Any, datatype: str, shape: Sequence[int], field: str, *, is_base64: bool
) -> bytes:
    """The raw contents of a tensor whose data are JSON; raises InvalidRequest."""
    try:
        dtype = dtype_of(datatype)
    except TensorError as error:
        raise InvalidRequest(field.replace(".data", ".datatype"), str(error)) from error
    values = _flatten(expect(data, list, field), shape, field)
    kinds, expected = _EXPECTED[dtype.kind]
    found = set(map(type, values))
    if not found <= kinds:
        index, other = next((i, v) for i, v in enumerate(values) if type(v) not in kinds)
        what = f"{other}" if type(other) is float else kind_of(other)
        raise InvalidRequest(field, f"has {what} at {index}; {datatype} has {expected}")
    if datatype == BYTES:
        return _read_strings(values, field, is_base64=is_base64)
    try:
        if datatype == "UINT8":
            return bytes(values)  # several times as fast as an array
        return to_raw(_array(values, dtype))
    except (OverflowError, ValueError) as error:
        raise InvalidRequest(field, f"has a number out of the range of {datatype}") from error


def write_data(array: NDArray[Any]) -> list[Any]:
    """An array's elements, flat; null for a number that JSON has not (NaN and the infinities)."""
    values: list[Any] = array.ravel().tolist()
    if array.dtype.kind == "O":
        return [value.decode("utf-8", "backslashreplace") for value in values]
    if array.dtype.kind != "f":
        return values
    finite = np.isfinite(array).ravel()
    if array.dtype.itemsize <= np.dtype(np.float32).itemsize:
        values = shortest(np.where(finite, array.ravel(), 0).tolist())
    if finite.all():
        return values
    return [value if known else None for value, known in zip(values, finite, strict=True)]


def _flatten(data: list[Any], shape: Sequence[int], field: str) -> list[Any]:
    """The elements row by row; nested, the lengths must be the shape's."""
    if data and type(data[0]) is list:
        level, sizes = [data], list(shape)
        for size in sizes:
            for row in level:
                if type(row) is not list or len(row) != size:
                    raise InvalidRequest(
                        field, f"is nested otherwise than its shape {sizes[:8]}; or send it flat"
                    )
            level = list(chain.from_iterable(level))
        data = level
    count = math.prod(shape)
    if len(data) != count:
        raise InvalidRequest(
            field, f"has {len(data)} values; its shape {list(shape[:8])} has {count}"
        )
    return data


def _array(values: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # what turns infinite is refused
        array = np.array(values, dtype=dtype)
    if dtype.kind == "f" and not np.isfinite(array).all():
        wide = np.array(values, dtype=np.float64)
        if (np.isinf(array) & np.isfinite(wide)).any():
            raise OverflowError
    return array


def _read_strings(values: list[str], field: str, *, is_base64: bool) -> bytes:
    elements = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        where = f"{field}[{index}]"
        elements[index] = (
            read_base64(value, where) if is_base64 else expect_text(value, where).encode()
        )
    return to_raw(elements)
