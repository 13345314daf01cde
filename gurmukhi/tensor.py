"""Carry NumPy arrays in Open Inference tensors, raw or typed.

A BYTES tensor is an array of `bytes` objects; raw, each element follows its length in 4 bytes.

Source: Open Inference Protocol v2, "Tensor Data" (github.com/kserve/open-inference-protocol).
"""

import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import TensorError
from gurmukhi.inference import open_inference_grpc_pb2 as pb

BYTES: Final = "BYTES"
_LENGTH: Final = struct.Struct("<I")

# datatype -> dtype on the wire (little-endian), the field of typed contents (FP16 has none)
_DATATYPES: Final[dict[str, tuple[np.dtype[Any], str | None]]] = {
    "BOOL": (np.dtype("?"), "bool_contents"),
    "UINT8": (np.dtype("u1"), "uint_contents"),
    "UINT16": (np.dtype("<u2"), "uint_contents"),
    "UINT32": (np.dtype("<u4"), "uint_contents"),
    "UINT64": (np.dtype("<u8"), "uint64_contents"),
    "INT8": (np.dtype("i1"), "int_contents"),
    "INT16": (np.dtype("<i2"), "int_contents"),
    "INT32": (np.dtype("<i4"), "int_contents"),
    "INT64": (np.dtype("<i8"), "int64_contents"),
    "FP16": (np.dtype("<f2"), None),
    "FP32": (np.dtype("<f4"), "fp32_contents"),
    "FP64": (np.dtype("<f8"), "fp64_contents"),
    BYTES: (np.dtype("O"), "bytes_contents"),
}
_CONTENTS: Final = tuple(field.name for field in pb.InferTensorContents.DESCRIPTOR.fields)
_BY_DTYPE: Final = {
    swapped: name
    for name, (dtype, _) in _DATATYPES.items()
    for swapped in (dtype, dtype.newbyteorder())
}
# By NumPy's number of a kind, which knows no byte order; far faster to look up than a dtype.
_BY_NUMBER: Final = {dtype.num: name for dtype, name in _BY_DTYPE.items()}


def datatype_of(array: NDArray[Any]) -> str:
    """The protocol's name for an array's dtype; raises TensorError."""
    name = _BY_NUMBER.get(array.dtype.num)
    if name is not None:
        return name
    try:  # a kind that has two numbers, such as C's long and long long
        return _BY_DTYPE[array.dtype]
    except KeyError:
        raise TensorError(f"no Open Inference datatype carries {array.dtype}") from None


def dtype_of(datatype: str) -> np.dtype[Any]:
    """The dtype of a datatype's elements on the wire, `object` for BYTES; raises TensorError."""
    return _datatype(datatype)[0]


def from_raw(datatype: str, shape: Sequence[int], raw: bytes) -> NDArray[Any]:
    """Read little-endian, row-major bytes as an array; raises TensorError.

    The array shares the bytes, unless it is one of BYTES.
    """
    dtype, _ = _datatype(datatype)
    count = _element_count(shape)
    if datatype == BYTES:
        return _shaped(_split(raw, count, shape), shape)
    if len(raw) != count * dtype.itemsize:
        raise TensorError(
            f"raw contents have {len(raw)} bytes; {datatype} of shape {_show(shape)} "
            f"has {count * dtype.itemsize}"
        )
    array = np.frombuffer(raw, dtype=dtype)
    if datatype == "BOOL" and len(raw) and array.view(np.uint8).max() > 1:
        raise TensorError("raw BOOL contents hold a byte other than 0 and 1")
    return _shaped(array, shape)


def from_contents(
    datatype: str, shape: Sequence[int], contents: pb.InferTensorContents
) -> NDArray[Any]:
    """Read typed contents as an array; raises TensorError.

    The field must be the one that goes with the datatype, the others empty, and every value
    within the datatype's range.
    """
    dtype, field = _datatype(datatype)
    if field is None:
        raise TensorError(f"{datatype} has no typed contents; send it as raw contents")
    for other in _CONTENTS:
        if other != field and len(getattr(contents, other)):
            raise TensorError(f"{datatype} is carried in {field}, but {other} has values")
    values = getattr(contents, field)
    count = _element_count(shape)
    if len(values) != count:
        raise TensorError(
            f"{field} has {len(values)} values; {datatype} of shape {_show(shape)} has {count}"
        )
    wide = np.array(values, dtype=_field_dtype(field, dtype))
    if dtype.kind in "iu" and wide.dtype != dtype and count:
        limits = np.iinfo(dtype)
        if wide.min() < limits.min or wide.max() > limits.max:
            worst = int(wide.max() if wide.max() > limits.max else wide.min())
            raise TensorError(
                f"{field} holds {worst}; {datatype} lies between {limits.min} and {limits.max}"
            )
    return _shaped(wide.astype(dtype, copy=False), shape)


def to_raw(array: NDArray[Any]) -> bytes:
    """The bytes of an array as raw contents: little-endian, row-major; raises TensorError."""
    datatype = datatype_of(array)
    if datatype == BYTES:
        return b"".join(_LENGTH.pack(len(element)) + element for element in _elements(array))
    dtype = _DATATYPES[datatype][0]
    return (array if array.dtype == dtype else array.astype(dtype)).tobytes()


def to_contents(array: NDArray[Any]) -> pb.InferTensorContents:
    """An array as typed contents; raises TensorError where the datatype has none."""
    datatype = datatype_of(array)
    _, field = _datatype(datatype)
    if field is None:
        raise TensorError(f"{datatype} has no typed contents; send it as raw contents")
    contents = pb.InferTensorContents()
    values = _elements(array) if datatype == BYTES else array.ravel().tolist()
    getattr(contents, field).extend(values)
    return contents


def _split(raw: bytes, count: int, shape: Sequence[int]) -> NDArray[Any]:
    """The elements of raw BYTES contents, (count,); never more than `count` are held."""
    elements: list[bytes] = []
    position = 0
    while position < len(raw):
        if len(elements) == count:
            raise TensorError(
                f"raw contents have {len(raw) - position} bytes past the {count} elements "
                f"of BYTES of shape {_show(shape)}"
            )
        start = position + _LENGTH.size
        if start > len(raw):
            raise TensorError(f"raw contents end inside the length of element {len(elements)}")
        (length,) = _LENGTH.unpack_from(raw, position)
        position = start + length
        if position > len(raw):
            raise TensorError(
                f"element {len(elements)} of raw contents has {length} bytes by its length, "
                f"but {len(raw) - start} are left"
            )
        elements.append(raw[start:position])
    if len(elements) != count:
        raise TensorError(
            f"raw contents have {len(elements)} elements; BYTES of shape {_show(shape)} has {count}"
        )
    array = np.empty(count, dtype=object)
    array[:] = elements
    return array


def _elements(array: NDArray[Any]) -> list[bytes]:
    elements: list[bytes] = array.ravel().tolist()
    for element in elements:
        if not isinstance(element, bytes):
            kind = type(element).__name__
            raise TensorError(f"no Open Inference datatype carries an object of type {kind}")
    return elements


def _datatype(name: str) -> tuple[np.dtype[Any], str | None]:
    try:
        return _DATATYPES[name]
    except KeyError:
        raise TensorError(
            f"unknown datatype {name[:16]!r}; expected one of {', '.join(_DATATYPES)}"
        ) from None


def _element_count(shape: Sequence[int]) -> int:
    for size in shape:
        if size < 0:
            raise TensorError(f"shape {_show(shape)} has a negative dimension")
    return math.prod(shape)  # Python's integers do not overflow


def _shaped(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    try:
        return array.reshape(tuple(shape))
    except (ValueError, OverflowError) as error:  # over 64 dimensions, or empty and too large
        raise TensorError(f"shape {_show(shape)} is larger than an array can be") from error


def _field_dtype(field: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype({"uint_contents": "u4", "int_contents": "i4"}.get(field, dtype))


def _show(shape: Sequence[int]) -> str:
    sizes = [str(size) for size in shape[:8]] + (["…"] if len(shape) > 8 else [])
    return f"[{','.join(sizes)}]"
