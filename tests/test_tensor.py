"""Arrays survive the way into Open Inference tensors and back, and nothing else passes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from gurmukhi.errors import TensorError
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.tensor import datatype_of, from_contents, from_raw, to_contents, to_raw

DTYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
TYPED = sorted(set(DTYPES) - {"FP16"})
SHAPES = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def arrays_of(datatypes: list[str]) -> st.SearchStrategy[NDArray[Any]]:
    return st.sampled_from(datatypes).flatmap(
        lambda name: npst.arrays(np.dtype(DTYPES[name]), SHAPES)
    )


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal bit for bit, not a number included."""
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(arrays_of(sorted(DTYPES)))
def test_raw_contents_give_the_array_back(array: NDArray[Any]) -> None:
    assert same(from_raw(datatype_of(array), array.shape, to_raw(array)), array)


@given(arrays_of(TYPED))
def test_typed_contents_give_the_array_back(array: NDArray[Any]) -> None:
    contents = pb.InferTensorContents.FromString(to_contents(array).SerializeToString())
    again = from_contents(datatype_of(array), array.shape, contents)
    assert again.dtype == array.dtype
    assert np.array_equal(again, array, equal_nan=array.dtype.kind == "f")
    assert again.shape == array.shape


@given(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(-3, 2**62), max_size=5), st.binary())
def test_any_shape_and_bytes_are_an_array_or_a_tensor_error(
    datatype: str, shape: list[int], raw: bytes
) -> None:
    try:
        array = from_raw(datatype, shape, raw)
    except TensorError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert array.tobytes() == raw
        assert list(array.shape) == shape


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("datatype", sorted(DTYPES))
def test_raw_contents_of_another_length_are_refused(datatype: str, by: int) -> None:
    raw = bytes(6 * np.dtype(DTYPES[datatype]).itemsize + by)
    with pytest.raises(TensorError, match=rf"raw contents have {len(raw)} bytes"):
        from_raw(datatype, [2, 3], raw)


@pytest.mark.parametrize("shape", [[2**32, 2**32], [2**63, 2], [2**62, 4]])
def test_a_shape_whose_product_overflows_is_refused(shape: list[int]) -> None:
    with pytest.raises(TensorError, match="raw contents have 0 bytes"):
        from_raw("UINT8", shape, b"")


def test_a_huge_shape_of_no_elements_is_refused_or_empty() -> None:
    with pytest.raises(TensorError):
        from_raw("UINT8", [2**63, 2**63, 0], b"")


def test_more_dimensions_than_numpy_has_are_refused() -> None:
    with pytest.raises(TensorError):
        from_raw("UINT8", [1] * 65, b"x")


@pytest.mark.parametrize("shape", [[-1, 32, 32], [-1], [-2, -2]])
def test_a_negative_dimension_is_refused(shape: list[int]) -> None:
    with pytest.raises(TensorError, match="has a negative dimension"):
        from_raw("UINT8", shape, bytes(4))


def test_a_scalar_has_one_element() -> None:
    assert from_raw("UINT8", [], b"\x07") == 7


def test_not_a_number_is_carried() -> None:
    array = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert same(from_raw("FP32", [3], to_raw(array)), array)
    assert np.isnan(from_contents("FP32", [3], to_contents(array))[0])


def test_a_bool_is_0_or_1() -> None:
    with pytest.raises(TensorError, match="a byte other than 0 and 1"):
        from_raw("BOOL", [2], b"\x01\x02")


@pytest.mark.parametrize(
    ("datatype", "field", "value"),
    [
        ("UINT8", "uint_contents", 256),
        ("UINT16", "uint_contents", 65536),
        ("INT8", "int_contents", 128),
        ("INT8", "int_contents", -129),
        ("INT16", "int_contents", -32769),
    ],
)
def test_a_value_past_its_datatype_is_refused(datatype: str, field: str, value: int) -> None:
    contents = pb.InferTensorContents()
    getattr(contents, field).extend([0, value])
    with pytest.raises(TensorError, match=f"{field} holds {value}; {datatype} lies between"):
        from_contents(datatype, [2], contents)


def test_values_in_the_wrong_field_are_refused() -> None:
    with pytest.raises(TensorError, match="carried in uint_contents, but int_contents has values"):
        from_contents("UINT8", [1], pb.InferTensorContents(int_contents=[1]))
    both = pb.InferTensorContents(uint_contents=[1], fp32_contents=[1.0])
    with pytest.raises(TensorError, match="but fp32_contents has values"):
        from_contents("UINT8", [1], both)


def test_another_number_of_values_is_refused() -> None:
    with pytest.raises(TensorError, match="uint_contents has 1 values"):
        from_contents("UINT8", [2], pb.InferTensorContents(uint_contents=[1]))


def test_half_floats_have_no_typed_contents() -> None:
    with pytest.raises(TensorError, match="FP16 has no typed contents"):
        from_contents("FP16", [0], pb.InferTensorContents())
    with pytest.raises(TensorError, match="FP16 has no typed contents"):
        to_contents(np.zeros(1, np.float16))


@pytest.mark.parametrize("datatype", ["", "uint8", "STRING", "FP8", "A" * 10_000])
def test_an_unknown_datatype_is_named_in_short(datatype: str) -> None:
    with pytest.raises(TensorError, match="unknown datatype") as caught:
        from_raw(datatype, [1], b"x")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("dtype", [object, "U3", "c8", "M8[s]", "V4"])
def test_an_array_that_no_datatype_carries_is_refused(dtype: Any) -> None:
    with pytest.raises(TensorError, match="no Open Inference datatype carries"):
        to_raw(np.zeros(2, dtype))


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">i8", ">f4", ">f8"])
def test_big_endian_arrays_are_carried_little_endian(dtype: str) -> None:
    array = np.array([1, 2, 300], dtype)
    little = array.astype(np.dtype(dtype).newbyteorder("<"))
    assert to_raw(array) == little.tobytes()
    again = from_contents(datatype_of(little), [3], to_contents(array))
    assert np.array_equal(again, little)


def test_a_transposed_array_is_carried_row_by_row() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3).T
    assert np.array_equal(from_raw("INT32", array.shape, to_raw(array)), array)
    assert np.array_equal(from_contents("INT32", array.shape, to_contents(array)), array)
