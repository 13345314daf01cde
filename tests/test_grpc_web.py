"""gRPC-Web bodies: one message in, a message and trailers out, in bytes or base64."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidRequest
from server.grpc_web import answer_type, frame, is_grpc_web, unwrap, wrap

BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"
OK = [(b"grpc-status", b"0")]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/grpc-web", True),
        ("application/grpc-web+proto", True),
        ("Application/gRPC-Web-Text; charset=utf-8", True),
        ("application/grpc-web-text+proto", True),
        ("application/grpc", False),
        ("application/grpc+proto", False),
        ("application/grpc-web+json", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_its_content_types_are_known(kind: str, expected: bool) -> None:
    assert is_grpc_web(kind) is expected


@given(st.binary())
def test_a_message_is_unwrapped(message: bytes) -> None:
    assert unwrap(BINARY, frame(message)) == message
    assert unwrap(TEXT, base64.b64encode(frame(message))) == message


@given(st.binary(), st.lists(st.integers(1, 9)))
def test_text_may_come_in_pieces_each_with_its_padding(message: bytes, sizes: list[int]) -> None:
    data, pieces = frame(message), []
    for size in sizes:
        pieces.append(base64.b64encode(data[:size]))
        data = data[size:]
    assert unwrap(TEXT, b"".join(pieces) + base64.b64encode(data)) == message


def test_an_answer_is_the_message_then_the_trailers() -> None:
    body = wrap(BINARY, b"abc", [*OK, (b"grpc-message", b"%E0%A9%A9")])
    trailers = b"grpc-status: 0\r\ngrpc-message: %E0%A9%A9\r\n"
    assert body == b"\0\0\0\0\x03abc" + b"\x80\0\0\0" + bytes((len(trailers),)) + trailers
    assert base64.b64decode(wrap(TEXT, b"abc", OK)) == wrap(BINARY, b"abc", OK)


def test_an_answer_without_a_message_is_the_trailers_alone() -> None:
    assert wrap(BINARY, None, [(b"grpc-status", b"5")]) == b"\x80\0\0\0\x10grpc-status: 5\r\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "has 0 bytes; expected a message and its prefix"),
        (b"\0\0\0\0", "has 4 bytes"),
        (b"\0\xff\xff\xff\xff", "has 0 bytes after the prefix, which says 4294967295"),
        (b"\0\0\0\0\x01ab", "has 2 bytes after the prefix, which says 1"),
        (frame(b"a") + frame(b"b"), "expected one message"),
        (frame(b"a", 1), "begins with a compressed message"),
        (frame(b"", 0x80), "begins with trailers"),
    ],
)
def test_a_broken_body_is_refused(body: bytes, said: str) -> None:
    for kind, sent in ((BINARY, body), (TEXT, base64.b64encode(body))):
        with pytest.raises(InvalidRequest, match=said):
            unwrap(kind, sent)


@pytest.mark.parametrize("body", [b"=", b"====", b"A", b"AAAA=", b"AA\nAA", b"AA*A", b"\xff"])
def test_text_that_is_no_base64_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="is no base64"):
        unwrap(TEXT, body)


@given(st.binary(), st.sampled_from([BINARY, TEXT]))
def test_any_body_is_unwrapped_or_refused(body: bytes, kind: str) -> None:
    try:
        message = unwrap(kind, body)
    except InvalidRequest:
        return
    assert len(message) < max(len(body), 1)


@pytest.mark.parametrize(
    ("sent", "accepted", "expected"),
    [
        ("application/grpc-web", "", BINARY),
        ("application/grpc-web+proto", "*/*", BINARY),
        ("application/grpc-web-text", "", TEXT),
        ("application/grpc-web", "application/grpc-web-text", TEXT),
        ("application/grpc-web+proto", "a/b, application/grpc-web-text+proto", TEXT),
    ],
)
def test_the_answer_is_text_where_that_is_asked_for(
    sent: str, accepted: str, expected: str
) -> None:
    assert answer_type({"content-type": sent, "accept": accepted}) == expected
