"""DigitService by the Connect protocol: JSON, protobuf, and pictures as they are."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from conftest import RunningServer
from google.protobuf import json_format
from google.rpc import error_details_pb2
from http_calls import ask, ask_json, endpoint_of, read, request_of
from PIL import Image
from stock import our_digits

from gurmukhi.labels import GLYPHS
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from server.errors import InvalidRequest, Overloaded, Unsupported
from server.rest import timeout_seconds

IMAGES, _ = synthetic_digits(10, 84)
CLASSIFY = "POST /gurmukhi.v1.DigitService/Classify"
BATCH = "POST /gurmukhi.v1.DigitService/ClassifyBatch"
LIST = "POST /gurmukhi.v1.DigitService/ListModels"
PROTO = {"content-type": "application/proto"}
PNG = {"content-type": "image/png"}


def in_base64(image: Any) -> str:
    return base64.b64encode(image.tobytes()).decode()


def png(index: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(IMAGES[index]).save(out, "PNG")
    return out.getvalue()


def test_json_gets_the_digit(server: RunningServer) -> None:
    body = {"image": {"pixels": in_base64(IMAGES[0])}, "model": "mlp", "topK": 3}
    reply = ask_json(server, CLASSIFY, body, {"connect-protocol-version": "1"})
    digit = our_digits(server, "mlp")[0]
    answer = reply["classification"]
    assert (answer["digit"], answer["glyph"]) == (digit, GLYPHS[digit])
    assert len(answer["probabilities"]) == len(answer["scores"]) == 10
    assert [answer["top"][0]["digit"], len(answer["top"])] == [digit, 3]
    assert (reply["model"]["name"], reply["model"]["version"]) == ("mlp", "1")


def test_a_digit_that_is_0_is_said(server: RunningServer) -> None:
    zero = our_digits(server, "mlp").index(0)
    reply = ask_json(server, CLASSIFY, {"image": {"pixels": in_base64(IMAGES[zero])}})
    assert (reply["classification"]["digit"], reply["classification"]["warnings"]) == (0, [])


def test_the_json_of_an_answer_is_the_mappings(server: RunningServer) -> None:
    body = {"images": [{"pixels": in_base64(image)} for image in IMAGES], "model": "svm-rbf"}
    message = read(BATCH, body)
    in_proto = ask(server, BATCH, message.SerializeToString(), PROTO)
    assert in_proto.content_type == "application/proto"
    exact = pb.ClassifyBatchResponse.FromString(in_proto.body)
    in_json = ask(server, BATCH, body)
    assert json_format.Parse(in_json.body, pb.ClassifyBatchResponse()) == exact
    assert [one.digit for one in exact.classifications] == our_digits(server, "svm-rbf")


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/PNG", "application/octet-stream"])
def test_a_picture_is_sent_as_it_is(server: RunningServer, kind: str) -> None:
    target = f"{CLASSIFY}?model=svm-poly&version=1&top_k=2"
    reply = ask_json(server, target, png(3), {"content-type": kind})
    assert reply["classification"]["digit"] == our_digits(server, "svm-poly")[3]
    assert len(reply["classification"]["top"]) == 2
    assert reply["model"]["name"] == "svm-poly"


def test_models_are_listed_and_health_is_told(server: RunningServer) -> None:
    listed = ask_json(server, LIST, {})
    assert listed["defaultModel"] == "mlp"
    assert len(listed["models"]) == 5
    health = "POST /grpc.health.v1.Health/Check"
    assert ask_json(server, health, {"service": "model/mlp"}) == {"status": "SERVING"}
    assert ask_json(server, health, {}) == {"status": "SERVING"}


def test_a_pixel_in_either_base64_is_the_same() -> None:
    image = np.full((32, 32), 251, np.uint8)
    text = in_base64(image)
    assert "+" in text
    for one in (text, text.rstrip("="), text.replace("+", "-").replace("/", "_")):
        assert read(CLASSIFY, {"image": {"pixels": one}}).image.pixels == image.tobytes()


def test_fields_have_both_their_names_and_null_is_not_there() -> None:
    assert read(CLASSIFY, {"top_k": 3}).top_k == read(CLASSIFY, {"topK": "3"}).top_k == 3
    message = read(CLASSIFY, {"image": None, "model": None, "topK": 3.0})
    assert not message.HasField("image")


@pytest.mark.parametrize(
    ("target", "body", "field", "said"),
    [
        (CLASSIFY, b"", "body", "is no JSON"),
        (CLASSIFY, b"[" * 200_000, "body", "is nested too deeply"),
        (CLASSIFY, [], "body", "is an array; expected an object"),
        (CLASSIFY, {"picture": 1}, "picture", "is unknown; expected one of image, model"),
        (CLASSIFY, {"image": {"png": 1}}, "image.png", "is unknown; expected one of encoded"),
        (CLASSIFY, {"image": []}, "image", "is an array; expected an object"),
        (CLASSIFY, {"image": {"pixels": "***"}}, "image.pixels", "is no base64"),
        (CLASSIFY, {"image": {"pixels": "ab\ncd"}}, "image.pixels", "is no base64"),
        (CLASSIFY, {"image": {"pixels": "é"}}, "image.pixels", "is no base64"),
        (CLASSIFY, {"image": {"pixels": 7}}, "image.pixels", "is a number; expected a string"),
        (
            CLASSIFY,
            {"image": {"pixels": "", "encoded": ""}},
            "image.encoded",
            "is given beside another kind",
        ),
        (CLASSIFY, {"topK": 1, "top_k": 2}, "top_k", "is given beside another top_k"),
        (CLASSIFY, {"model": 7}, "model", "is a number; expected a string"),
        (CLASSIFY, {"model": "\ud800"}, "model", "holds half a character"),
        (CLASSIFY, {"\ud800": 1}, r"\ud800", "is unknown"),
        (CLASSIFY, {"returnPixels": 1}, "returnPixels", "is a number; expected true or false"),
        (CLASSIFY, {"topK": True}, "topK", "is a boolean; expected a whole number"),
        (CLASSIFY, {"topK": 1.5}, "topK", "is 1.5; expected a whole number"),
        (CLASSIFY, {"topK": float("nan")}, "topK", "is nan; expected a whole number"),
        (CLASSIFY, {"topK": "three"}, "topK", "is a string; expected a whole number"),
        (CLASSIFY, {"topK": "--3"}, "topK", "is a string; expected a whole number"),
        (CLASSIFY, {"topK": -1}, "topK", "is out of range"),
        (CLASSIFY, {"topK": 10**4000}, "topK", "is out of range"),
        (BATCH, {"images": {}}, "images", "is an object; expected an array"),
        (BATCH, {"images": [{}, {"a": 1}]}, "images[1].a", "is unknown"),
        (BATCH, {"images": [None]}, "images[0]", "is null; expected an object"),
        (LIST, {"a": 1}, "a", "is unknown; none is expected"),
    ],
)
def test_wrong_json_names_its_field(target: str, body: Any, field: str, said: str) -> None:
    json_type = {"content-type": "application/json"}
    with pytest.raises(InvalidRequest) as caught:
        read(target, body, json_type)
    assert caught.value.field == field
    assert said in caught.value.description
    endpoint_of(request_of(target)).refuse(caught.value)  # whatever it quotes can be sent


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("modle=mlp", "modle"),
        ("image=abc", "image"),
        ("model=a&model=b", "model"),
        ("top_k=x", "top_k"),
        ("top_k=-1", "top_k"),
        ("model=%ff", "query"),
        ("&".join(f"a{n}=1" for n in range(99)), "query"),
    ],
)
def test_a_wrong_query_is_refused(query: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(f"{CLASSIFY}?{query}", png(0), PNG)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (CLASSIFY, ""),
        (CLASSIFY, "application/x-www-form-urlencoded"),
        (CLASSIFY, "application/connect+json"),
        (CLASSIFY, "application/json; charset=latin-1"),
        (LIST, "image/png"),
    ],
)
def test_another_content_type_is_415(target: str, kind: str) -> None:
    request = request_of(target, b"{}", {"content-type": kind})
    endpoint = endpoint_of(request)
    with pytest.raises(InvalidRequest) as caught:
        endpoint.read(request)
    assert endpoint.refuse(caught.value).status == 415


def test_json_may_say_that_it_is_utf_8() -> None:
    kind = {"content-type": 'application/json; charset="UTF-8"'}
    assert read(CLASSIFY, {"model": "mlp"}, kind).model == "mlp"


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"is no gurmukhi\.v1\.ClassifyRequest"):
        read(CLASSIFY, b"\xff\xff", PROTO)


def test_another_version_of_the_protocol_and_a_compressed_body_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="connect-protocol-version: is '2'"):
        read(LIST, {}, {"connect-protocol-version": "2"})
    with pytest.raises(Unsupported, match="content-encoding 'br' is not taken here"):
        read(LIST, {}, {"content-encoding": "br"})


def test_an_error_carries_its_details() -> None:
    refuse = endpoint_of(request_of(LIST)).refuse
    (detail,) = json.loads(refuse(InvalidRequest("images[3]", "is blank")).body)["details"]
    assert detail["type"] == "google.rpc.BadRequest"
    packed = base64.b64decode(detail["value"] + "=" * (-len(detail["value"]) % 4))
    (violation,) = error_details_pb2.BadRequest.FromString(packed).field_violations
    assert (violation.field, violation.description) == ("images[3]", "is blank")
    (detail,) = json.loads(refuse(Overloaded("full")).body)["details"]
    assert detail["type"] == "google.rpc.RetryInfo"


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("0", 0.0), ("1500", 1.5), ("9999999999", 9999999.999)]
)
def test_a_timeout_is_in_milliseconds(value: str | None, seconds: float | None) -> None:
    headers = {} if value is None else {"connect-timeout-ms": value}
    assert timeout_seconds(request_of(LIST, {}, headers)) == seconds


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", "٣", "12345678901"])
def test_another_timeout_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="connect-timeout-ms"):
        timeout_seconds(request_of(LIST, {}, {"connect-timeout-ms": value}))
