"""A batch of raw images says what Protocol Buffers read in it, however it is put together."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from server.raw_batch import RawBatch, read_batch

IMAGES, _ = synthetic_digits(5, 3)
RAW = [pb.Image(pixels=image.tobytes()) for image in IMAGES]


def asked(found: pb.ClassifyBatchRequest | RawBatch) -> pb.ClassifyBatchRequest:
    """What was read, as one message."""
    if not isinstance(found, RawBatch):
        return found
    assert not found.asked.images
    request = pb.ClassifyBatchRequest(
        images=[pb.Image(pixels=one.tobytes()) for one in found.pixels]
    )
    request.MergeFrom(found.asked)
    return request


@pytest.mark.parametrize("count", [1, 2, 5])
def test_images_are_read_at_once(count: int) -> None:
    request = pb.ClassifyBatchRequest(images=RAW[:count], model="mlp", version="2", top_k=3)
    found = read_batch(request.SerializeToString())
    assert isinstance(found, RawBatch)
    assert np.array_equal(found.pixels, IMAGES[:count])
    assert found.pixels.flags.c_contiguous
    assert found.asked == pb.ClassifyBatchRequest(model="mlp", version="2", top_k=3)


@pytest.mark.parametrize(
    "request_",
    [
        pb.ClassifyBatchRequest(),
        pb.ClassifyBatchRequest(model="mlp"),
        pb.ClassifyBatchRequest(images=[*RAW[:2], pb.Image(pixels=bytes(1023))]),
        pb.ClassifyBatchRequest(images=[*RAW[:2], pb.Image(pixels=bytes(1025))]),
        pb.ClassifyBatchRequest(images=[*RAW[:2], pb.Image(encoded=bytes(1024))]),
        pb.ClassifyBatchRequest(images=[pb.Image(), *RAW[:2]]),
        pb.ClassifyBatchRequest(images=RAW[:2], model="m" * 2000),
    ],
    ids=["nothing", "no images", "short", "long", "a picture", "empty", "a long name"],
)
def test_other_batches_are_read_in_the_ordinary_way(request_: pb.ClassifyBatchRequest) -> None:
    found = read_batch(request_.SerializeToString())
    assert isinstance(found, pb.ClassifyBatchRequest)
    assert found == request_


def test_images_after_other_fields_are_not_lost() -> None:
    first = pb.ClassifyBatchRequest(images=RAW[:2], model="mlp")
    last = pb.ClassifyBatchRequest(images=[pb.Image(encoded=b"picture")])
    data = first.SerializeToString() + last.SerializeToString()
    assert asked(read_batch(data)) == pb.ClassifyBatchRequest.FromString(data)


def test_what_is_cut_off_is_refused() -> None:
    data = pb.ClassifyBatchRequest(images=RAW, model="mlp").SerializeToString()
    with pytest.raises(DecodeError):
        read_batch(data[:-1])


PARTS = st.lists(
    st.one_of(
        st.builds(lambda image: pb.ClassifyBatchRequest(images=[image]), st.sampled_from(RAW)),
        st.builds(
            lambda size: pb.ClassifyBatchRequest(images=[pb.Image(pixels=bytes(size))]),
            st.sampled_from([0, 1, 1023, 1025, 2060]),
        ),
        st.builds(pb.ClassifyBatchRequest, model=st.text(max_size=3), top_k=st.integers(0, 300)),
        # An unknown field, as long as an image or not.
        st.sampled_from([b"\xaa\x06\x03abc", b"\xaa\x06\x82\x08" + bytes(1026)]),
    ),
    max_size=6,
)


@given(PARTS, st.integers(0, 3))
def test_parts_in_any_order_are_read_alike(
    parts: list[pb.ClassifyBatchRequest | bytes], cut: int
) -> None:
    data = b"".join(part if isinstance(part, bytes) else part.SerializeToString() for part in parts)
    data = data[: len(data) - cut]
    try:
        expected = pb.ClassifyBatchRequest.FromString(data)
    except DecodeError:
        with pytest.raises(DecodeError):
            read_batch(data)
        return
    # As bytes, since messages with unknown fields are equal where their bytes are.
    found = asked(read_batch(data))
    assert found.SerializeToString(deterministic=True) == expected.SerializeToString(
        deterministic=True
    )
