"""gRPC over HTTP/2 as a front writes and reads it: frames, time-outs, statuses."""

import base64
import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import unquote

import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidRequest, MessageTooLarge, Unsupported
from server.grpc_wire import Frames, encode_message, frame, read_timeout, status_headers

LIMIT = 1000


def frames(encoding: bytes = b"", *, may_compress: bool = False) -> Frames:
    return Frames(LIMIT, encoding, may_compress=may_compress)


def compressed(message: bytes) -> bytes:
    return b"\1" + frame(message)[1:]


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 200)))
def test_messages_come_out_whole_however_the_body_is_cut(
    messages: list[bytes], cuts: list[int]
) -> None:
    body = b"".join(map(frame, messages))
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    reader = frames()
    found = [message for begin, end in pairwise(places) for message in reader.add(body[begin:end])]
    reader.end()
    assert found == messages


def test_a_message_that_is_too_large_is_refused_before_it_has_come() -> None:
    with pytest.raises(MessageTooLarge, match="has 1001 bytes; at most 1000"):
        list(frames().add(frame(bytes(LIMIT + 1))[:5]))


def test_a_message_that_is_cut_off_is_refused() -> None:
    reader = frames()
    assert list(reader.add(frame(b"abc")[:-1])) == []
    with pytest.raises(InvalidRequest, match="ends within a message"):
        reader.end()


@pytest.mark.parametrize(
    ("encoding", "squeeze"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
)
def test_a_compressed_message_is_unpacked_where_it_may_be(
    encoding: bytes, squeeze: Callable[[bytes], bytes]
) -> None:
    packed = squeeze(b"abc" * 50)
    (message,) = frames(encoding, may_compress=True).add(compressed(packed))
    assert message == b"abc" * 50
    with pytest.raises(Unsupported, match="grpc-encoding"):
        list(frames(encoding).add(compressed(packed)))


def test_a_compressed_bomb_is_unpacked_to_the_limit_alone() -> None:
    with pytest.raises(MessageTooLarge):
        list(frames(b"gzip", may_compress=True).add(compressed(gzip.compress(bytes(10**7)))))


@pytest.mark.parametrize(
    "packed", [b"no gzip", gzip.compress(b"abc" * 50)[:-9]], ids=["of no format", "cut off"]
)
def test_damaged_compression_is_refused(packed: bytes) -> None:
    with pytest.raises(InvalidRequest, match="decompressed"):
        list(frames(b"gzip", may_compress=True).add(compressed(packed)))


def test_compression_by_no_algorithm_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="by no algorithm"):
        list(frames().add(compressed(b"abc")))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"100m", 0.1), (b"5u", 5e-6), (b"7n", 7e-9)],
)
def test_a_timeout_has_a_number_and_a_unit(text: bytes, seconds: float) -> None:
    assert read_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"S", b"1", b"-1S", b"1.5S", b"123456789S", b"1 S", b"1s"])
def test_any_other_timeout_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match="grpc-timeout"):
        read_timeout(text)


@given(st.text())
def test_a_status_message_is_printable_and_comes_back(text: str) -> None:
    encoded = encode_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    expected = text.encode("utf-8", "backslashreplace").decode()
    assert unquote(encoded.decode("ascii")) == expected


def test_a_status_has_its_details_in_base64_without_padding() -> None:
    details = status_pb2.Status(code=3, message="no").SerializeToString()
    headers = dict(status_headers(3, "no", details))
    assert headers[b"grpc-status"] == b"3"
    packed = headers[b"grpc-status-details-bin"]
    assert base64.b64decode(packed + b"=" * (-len(packed) % 4)) == details
