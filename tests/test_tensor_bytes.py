"""BYTES tensors survive the wire, raw and typed; broken ones are refused with what is wrong."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inferring import objects
from numpy.typing import NDArray

from gurmukhi.errors import TensorError
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.tensor import from_contents, from_raw, to_contents, to_raw


@st.composite
def byte_arrays(draw: st.DrawFn) -> NDArray[Any]:
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    count = int(np.prod(shape))
    elements = draw(st.lists(st.binary(max_size=9), min_size=count, max_size=count))
    return objects(*elements).reshape(shape)


@given(byte_arrays())
def test_an_array_of_bytes_survives_raw_and_typed_contents(array: NDArray[Any]) -> None:
    for back in (
        from_raw("BYTES", array.shape, to_raw(array)),
        from_contents("BYTES", array.shape, to_contents(array)),
    ):
        assert back.dtype == object
        assert back.shape == array.shape
        assert back.ravel().tolist() == array.ravel().tolist()


@given(st.lists(st.integers(-1, 2**62), max_size=4), st.binary(max_size=64))
def test_any_raw_contents_are_read_or_refused(shape: list[int], raw: bytes) -> None:
    try:
        array = from_raw("BYTES", shape, raw)
    except TensorError:
        return
    assert list(array.shape) == shape
    assert to_raw(array) == raw


def test_the_length_before_each_element_is_little_endian() -> None:
    assert to_raw(objects(b"abc", b"")) == b"\x03\0\0\0abc\0\0\0\0"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\x05\0", "end inside the length of element 0"),
        (b"\0\0\0\0\x02\0\0\0a", "element 1 of raw contents has 2 bytes by its length, but 1"),
        (b"\0\0\0\0", "have 1 elements; BYTES of shape"),
        (b"\0\0\0\0" * 3, "have 4 bytes past the 2 elements"),
    ],
)
def test_broken_raw_contents_are_refused(raw: bytes, said: str) -> None:
    with pytest.raises(TensorError, match=said):
        from_raw("BYTES", [2], raw)


def test_objects_that_are_no_bytes_are_refused() -> None:
    for write in (to_raw, to_contents):
        with pytest.raises(TensorError, match="carries an object of type str"):
            write(np.array(["text"], dtype=object))


def test_bytes_in_the_field_of_another_datatype_are_refused() -> None:
    with pytest.raises(TensorError, match="BYTES is carried in bytes_contents"):
        from_contents("BYTES", [1], pb.InferTensorContents(uint_contents=[1]))
