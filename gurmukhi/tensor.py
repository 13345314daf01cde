"""Carry NumPy arrays in Open Inference tensors, raw or typed.

Source: Open Inference Protocol v2, "Tensor Data" (github.com/kserve/open-inference-protocol).
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import TensorError
from gurmukhi.inference import open_inference_grpc_pb2 as pb

# datatype -> dtype on the wire (little-endian), the field of typed contents (FP16 has none)
_DATATYPES: Final[dict[str, tuple[str, str | None]]] = {
    "BOOL": ("?", "bool_contents"),
    "UINT8": ("u1", "uint_contents"),
    "UINT16": ("<u2", "uint_contents"),
    "UINT32": ("<u4", "uint_contents"),
    "UINT64": ("<u8", "uint64_contents"),
    "INT8": ("i1", "int_contents"),
    "INT16": ("<i2", "int_contents"),
    "INT32": ("<i4", "int_contents"),
    "INT64": ("<i8", "int64_contents"),
    "FP16": ("<f2", None),
    "FP32": ("<f4", "fp32_contents"),
    "FP64": ("<f8", "fp64_contents"),
}
_CONTENTS: Final = tuple(field.name for field in pb.InferTensorContents.DESCRIPTOR.fields)
_BY_DTYPE: Final = {np.dtype(dtype): name for name, (dtype, _) in _DATATYPES.items()}


def datatype_of(array: NDArray[Any]) -> str:
    """The protocol's name for an array's dtype; raises TensorError."""
    try:
        return _BY_DTYPE[array.dtype.newbyteorder("=")]
    except KeyError:
        raise TensorError(f"no Open Inference datatype carries {array.dtype}") from None


def from_raw(datatype: str, shape: Sequence[int], raw: bytes) -> NDArray[Any]:
    """Read little-endian, row-major bytes as an array that shares them; raises TensorError."""
    dtype = np.dtype(_datatype(datatype)[0])
    count = _element_count(shape)
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
    dtype_name, field = _datatype(datatype)
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
    dtype = np.dtype(dtype_name)
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
    """The bytes of an array as raw contents: little-endian, row-major."""
    datatype_of(array)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def to_contents(array: NDArray[Any]) -> pb.InferTensorContents:
    """An array as typed contents; raises TensorError where the datatype has none."""
    datatype = datatype_of(array)
    _, field = _datatype(datatype)
    if field is None:
        raise TensorError(f"{datatype} has no typed contents; send it as raw contents")
    contents = pb.InferTensorContents()
    getattr(contents, field).extend(array.ravel().tolist())
    return contents


def _datatype(name: str) -> tuple[str, str | None]:
    try:
        return _DATATYPES[name]
    except KeyError:
        raise TensorError(
            f"unknown datatype {name[:16]!r}; expected one of {', '.join(_DATATYPES)}"
        ) from None


def _element_count(shape: Sequence[int]) -> int:
    if any(size < 0 for size in shape):
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
