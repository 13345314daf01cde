"""Messages survive JSON, and our JSON is what protobuf's own code takes for the mapping."""

import json
import math
import struct
from functools import partial
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from gurmukhi.health import health_pb2
from gurmukhi.inference import open_inference_grpc_pb2
from gurmukhi.v1 import digits_pb2 as pb
from server.errors import InvalidRequest
from server.json_body import shortest, write_json
from server.proto_json import read_message, write_message, write_plainly

# Of all NaN one, since JSON tells no two apart; and not the largest, which protobuf's own reader
# refuses of its own writer.
NUMBERS = st.floats(-(2.0**127), 2.0**127, width=32)
FLOATS = NUMBERS | st.sampled_from([math.nan, math.inf, -math.inf])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VERSIONS = st.builds(pb.ModelVersion, name=TEXTS, version=TEXTS, sha256=TEXTS)
CANDIDATES = st.builds(
    pb.Candidate, digit=st.integers(0, 9), glyph=TEXTS, score=FLOATS, probability=FLOATS
)
ANSWERS = st.builds(
    pb.Classification,
    digit=st.integers(-(2**31), 2**31 - 1),
    glyph=TEXTS,
    probabilities=st.lists(FLOATS, max_size=3),
    scores=st.lists(FLOATS, max_size=3),
    warnings=st.lists(st.integers(0, 9), max_size=3),  # a newer server has more of them
    top=st.lists(CANDIDATES, max_size=2),
    pixels=st.binary(),
)
IMAGES = st.builds(pb.Image, encoded=st.binary()) | st.builds(pb.Image, pixels=st.binary())
REQUESTS = st.builds(
    pb.ClassifyRequest,
    image=st.none() | IMAGES,
    model=TEXTS,
    version=TEXTS,
    top_k=st.integers(0, 2**32 - 1),
    return_pixels=st.booleans(),
) | st.builds(pb.ClassifyBatchRequest, images=st.lists(IMAGES, max_size=3), model=TEXTS)
REPLIES = (
    st.builds(pb.ClassifyResponse, classification=st.none() | ANSWERS, model=VERSIONS)
    | st.builds(pb.ClassifyStreamResponse, index=st.integers(0, 2**64 - 1))
    | st.builds(pb.ListModelsResponse, models=st.lists(VERSIONS, max_size=2), default_model=TEXTS)
)


@given(REQUESTS)
def test_a_request_survives_our_json_and_protobufs(message: Any) -> None:
    for text in (write_json(write_message(message)), json_format.MessageToJson(message)):
        assert read_message(json.loads(text), type(message)()) == message


@given(REPLIES)
def test_protobuf_reads_our_json_of_a_reply(message: Any) -> None:
    text = write_json(write_message(message))
    back = json_format.Parse(text, type(message)())
    assert back.SerializeToString(deterministic=True) == message.SerializeToString(
        deterministic=True
    )


@given(REPLIES)
def test_our_json_has_the_names_and_kinds_of_protobufs(message: Any) -> None:
    ours = write_message(message)
    theirs = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    as_float32 = partial(json.loads, parse_float=np.float32)
    assert as_float32(write_json(ours)) == as_float32(json.dumps(theirs))


def test_a_map_is_an_object() -> None:
    message = health_pb2.HealthListResponse(
        statuses={"": health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)}
    )
    assert write_message(message) == {"statuses": {"": {"status": "SERVING"}}}


def test_tritons_json_has_the_protos_names_and_numbers() -> None:
    message = open_inference_grpc_pb2.ModelStatistics(name="mlp", last_inference=2**53)
    said = write_plainly(message)
    assert said == {
        "name": "mlp",
        "version": "",
        "last_inference": 2**53,
        "inference_count": 0,
        "execution_count": 0,
    }


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_shortest_number_is_the_same_float32(value: float) -> None:
    (short,) = shortest([value])
    assert struct.unpack("f", struct.pack("f", short))[0] == value
    assert math.copysign(1, short) == math.copysign(1, value)
    assert len(repr(short)) <= len(repr(value))


def test_a_float_is_written_as_a_person_would() -> None:
    tenth = struct.unpack("f", struct.pack("f", 0.1))[0]
    assert (tenth, shortest([tenth])) == (0.10000000149011612, [0.1])
    assert shortest([-1061754234732544.0]) == [-1.06175423e15]  # eight digits are another float32
    largest = struct.unpack("f", b"\xff\xff\x7f\x7f")[0]
    assert struct.unpack("f", struct.pack("f", shortest([largest])[0]))[0] == largest


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["image", "images", "encoded", "pixels", "model", "topK", "top_k"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
)


@given(ANY_JSON, st.sampled_from([pb.ClassifyRequest, pb.ClassifyBatchRequest]))
def test_what_is_read_is_read_by_protobuf_too(value: Any, kind: Any) -> None:
    try:
        message = read_message(value, kind())
    except InvalidRequest:
        return
    assert json_format.ParseDict(value, kind()) == message


def test_a_message_that_is_a_default_is_there() -> None:
    assert read_message({"image": {}}, pb.ClassifyRequest()).HasField("image")
    with pytest.raises(InvalidRequest, match="body: is null; expected an object"):
        read_message(None, pb.ClassifyRequest())
