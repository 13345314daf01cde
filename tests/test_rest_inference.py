"""Open Inference v2 over HTTP: tensors in JSON and behind it, answered as gRPC answers them."""

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from conftest import RunningServer
from http_calls import ask, ask_json, read, request_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inferring import objects
from numpy.typing import NDArray
from PIL import Image
from stock import our_digits

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.tensor import datatype_of, from_raw, to_raw
from server.errors import InvalidRequest, ServiceError, Unsupported
from server.rest_errors import write_error
from server.rest_inference import infer_endpoint

IMAGES, _ = synthetic_digits(10, 84)
INFER = "POST /v2/models/mlp/infer"
LENGTH = "inference-header-content-length"


def tensor(array: NDArray[Any], name: str = "pixels", **fields: Any) -> dict[str, Any]:
    """An input with flat JSON data."""
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": datatype_of(array),
        "data": array.ravel().tolist(),
        **fields,
    }


def binary(*arrays: NDArray[Any], **fields: Any) -> tuple[bytes, dict[str, str]]:
    """A body with inputs behind its JSON, and the header that says where."""
    raws = [to_raw(array) for array in arrays]
    inputs = [
        {**tensor(array), "parameters": {"binary_data_size": len(raw)}}
        for array, raw in zip(arrays, raws, strict=True)
    ]
    for one in inputs:
        del one["data"]
    head = json.dumps({"inputs": inputs, **fields}).encode()
    return head + b"".join(raws), {LENGTH: str(len(head))}


def picture(image: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def refusal(body: Any, headers: Mapping[str, str] | None = None) -> str:
    """What is said of a body that is refused."""
    with pytest.raises(InvalidRequest) as caught:
        read(INFER, body, headers)
    return str(caught.value)


def output(reply: Any, name: str) -> Any:
    return next(one for one in reply["outputs"] if one["name"] == name)


@pytest.mark.parametrize("is_nested", [False, True])
def test_json_pixels_get_the_digits_of_grpc(server: RunningServer, is_nested: bool) -> None:
    data = IMAGES.tolist() if is_nested else IMAGES.ravel().tolist()
    reply = ask_json(server, INFER, {"id": "42", "inputs": [tensor(IMAGES, data=data)]})
    assert (reply["id"], reply["model_name"], reply["model_version"]) == ("42", "mlp", "1")
    digit = output(reply, "digit")
    assert (digit["datatype"], digit["shape"]) == ("INT64", [10])
    assert digit["data"] == our_digits(server, "mlp")


def test_a_version_of_a_model_is_named_by_the_path(server: RunningServer) -> None:
    reply = ask_json(
        server, "POST /v2/models/svm%2Drbf/versions/1/infer", {"inputs": [tensor(IMAGES[:1])]}
    )
    assert (reply["model_name"], reply["model_version"]) == ("svm-rbf", "1")
    assert "id" not in reply


def test_scores_in_json_are_those_of_the_bytes(server: RunningServer) -> None:
    asked = {"inputs": [tensor(IMAGES)], "outputs": [{"name": "scores"}]}
    (shown,) = ask_json(server, INFER, asked)["outputs"]
    asked["outputs"] = [{"name": "scores", "parameters": {"binary_data": True}}]
    response = ask(server, INFER, asked)
    length = int(dict(response.headers)[LENGTH])
    (sent,) = json.loads(response.body[:length])["outputs"]
    assert sent["parameters"] == {"binary_data_size": 400}
    exact = from_raw("FP32", sent["shape"], response.body[length:])
    assert np.array_equal(np.array(shown["data"], np.float32).reshape(10, 10), exact)


def test_all_outputs_come_as_bytes_but_for_one_that_does_not(server: RunningServer) -> None:
    body, headers = binary(
        IMAGES,
        parameters={"binary_data_output": True},
        outputs=[{"name": "digit", "parameters": {"binary_data": False}}, {"name": "scores"}],
    )
    response = ask(server, INFER, body, headers)
    assert response.content_type == "application/octet-stream"
    length = int(dict(response.headers)[LENGTH])
    digit, scores = json.loads(response.body[:length])["outputs"]
    assert digit["data"] == our_digits(server, "mlp")
    assert "data" not in scores
    assert len(response.body) == length + scores["parameters"]["binary_data_size"]


def test_a_key_in_escapes_is_the_same_key(server: RunningServer) -> None:
    asked = {"inputs": [tensor(IMAGES[:1])], "parameters": {"binary_data_output": True}}
    hidden = json.dumps(asked).replace("binary_", "binary\\u005f").encode()
    assert ask(server, INFER, hidden).content_type == "application/octet-stream"


def test_bytes_without_json_are_pixels(server: RunningServer) -> None:
    reply = ask_json(server, INFER, IMAGES.tobytes(), {LENGTH: "0"})
    assert output(reply, "digit")["data"] == our_digits(server, "mlp")


def test_pictures_come_in_base64_or_as_bytes(server: RunningServer) -> None:
    files = objects(*[picture(image) for image in IMAGES])
    text = [base64.b64encode(one).decode() for one in files.tolist()]
    inputs = [
        {"name": "image", "shape": [10], "datatype": "BYTES", "data": text}
        | {"parameters": {"content_type": "base64"}}
    ]
    in_base64 = ask_json(server, INFER, {"inputs": inputs})
    body, headers = binary(files)
    body = body.replace(b'"pixels"', b'"image" ')
    assert output(in_base64, "digit") == output(ask_json(server, INFER, body, headers), "digit")
    assert output(in_base64, "digit")["data"] == our_digits(server, "mlp")


def test_what_was_noticed_of_a_picture_is_a_parameter(server: RunningServer) -> None:
    light_on_dark = np.kron(255 - IMAGES[0], np.ones((3, 3), np.uint8))
    inputs = [tensor(objects(), name="image", shape=[1], parameters={"content_type": "base64"})]
    inputs[0]["data"] = [base64.b64encode(picture(light_on_dark)).decode()]
    assert "inverted" in ask_json(server, INFER, {"inputs": inputs})["parameters"]["warnings"]


def test_classes_are_strings(server: RunningServer) -> None:
    asked = {"name": "probabilities", "parameters": {"classification": 2}}
    reply = ask_json(server, INFER, {"inputs": [tensor(IMAGES[:1])], "outputs": [asked]})
    (best,) = reply["outputs"]
    assert (best["datatype"], best["shape"]) == ("BYTES", [1, 2])
    assert best["data"][0].split(":")[1] == str(our_digits(server, "mlp")[0])


def test_fp32_needs_its_range_as_over_grpc(server: RunningServer) -> None:
    scaled = (IMAGES / 255).astype(np.float32)
    declared = tensor(scaled, parameters={"range": "0-1"})
    reply = ask_json(server, INFER, {"inputs": [declared]})
    assert output(reply, "digit")["data"] == our_digits(server, "mlp")


def test_the_request_of_the_specification_is_read() -> None:
    body = {
        "id": "42",
        "inputs": [
            {"name": "input0", "shape": [2, 2], "datatype": "UINT32", "data": [1, 2, 3, 4]},
            {"name": "input1", "shape": [3], "datatype": "BOOL", "data": [True, False, True]},
        ],
        "outputs": [{"name": "output0"}],
    }
    message = read("POST /v2/models/mymodel/infer", body)
    assert (message.model_name, message.id) == ("mymodel", "42")
    assert list(message.raw_input_contents) == [to_raw(np.arange(1, 5, dtype="<u4")), b"\1\0\1"]
    assert [one.name for one in message.outputs] == ["output0"]


def test_the_binary_request_of_tritons_extension_is_read() -> None:
    head = (
        b'{"model_name":"mymodel","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32",'
        b'"parameters":{"binary_data_size":16}},{"name":"input1","shape":[3],"datatype":"BOOL",'
        b'"parameters":{"binary_data_size":3}}],"outputs":[{"name":"output0",'
        b'"parameters":{"binary_data":true}}]}'
    )
    tail = bytes(range(16)) + b"\1\0\1"
    message = read("POST /v2/models/mymodel/infer", head + tail, {LENGTH: str(len(head))})
    assert list(message.raw_input_contents) == [tail[:16], tail[16:]]
    assert not message.inputs[0].parameters
    assert not message.outputs[0].parameters


def test_the_answer_of_tritons_extension_is_written() -> None:
    values = np.array([[1.0, 1.1], [2.0, 2.1], [3.0, 3.1]], np.float32)
    message = pb.ModelInferResponse(model_name="mymodel", raw_output_contents=[to_raw(values)])
    message.outputs.add(name="output0", datatype="FP32", shape=[3, 2])
    asked = {"outputs": [{"name": "output0", "parameters": {"binary_data": True}}]}
    write = infer_endpoint("mymodel", "").write
    shown = json.loads(write(message, request_of(INFER, {})).body)["outputs"][0]
    assert shown["data"] == [1.0, 1.1, 2.0, 2.1, 3.0, 3.1]
    response = write(message, request_of(INFER, asked))
    assert response.body.endswith(to_raw(values))
    assert dict(response.headers)[LENGTH] == str(len(response.body) - 24)


def test_a_number_that_json_has_not_is_null() -> None:
    values = np.array([np.nan, np.inf, 0.5], np.float32)
    message = pb.ModelInferResponse(raw_output_contents=[to_raw(values)])
    message.outputs.add(name="scores", datatype="FP32", shape=[3])
    body = infer_endpoint("mlp", "").write(message, request_of(INFER, {})).body
    assert json.loads(body)["outputs"][0]["data"] == [None, None, 0.5]


def test_parameters_keep_their_kinds() -> None:
    parameters = {"timeout": 5, "flag": True, "big": 2**64 - 1, "share": 0.5, "word": "w"}
    message = read(INFER, {"parameters": parameters, "inputs": [tensor(IMAGES[:1])]})
    kinds = {name: one.WhichOneof("parameter_choice") for name, one in message.parameters.items()}
    assert kinds == {
        "timeout": "int64_param",
        "flag": "bool_param",
        "big": "uint64_param",
        "share": "double_param",
        "word": "string_param",
    }


NUMBERS = ["?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"]


@given(st.data(), st.sampled_from(NUMBERS), st.booleans())
def test_any_tensor_survives_json_both_ways(data: st.DataObject, kind: str, nested: bool) -> None:
    dtype = np.dtype(kind)
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
    array = data.draw(hnp.arrays(dtype, shapes, elements=elements))
    sent = array.tolist() if nested and array.size else array.ravel().tolist()
    message = read(INFER, {"inputs": [tensor(array, data=sent)]})
    (raw,) = message.raw_input_contents
    assert raw == to_raw(array)
    answer = pb.ModelInferResponse(raw_output_contents=[raw])
    answer.outputs.add(name="x", datatype=datatype_of(array), shape=array.shape)
    shown = json.loads(infer_endpoint("mlp", "").write(answer, request_of(INFER, {})).body)
    (back,) = shown["outputs"]
    assert np.array(back["data"], dtype).reshape(back["shape"]).tobytes() == array.tobytes()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_any_strings_survive_json_both_ways(strings: list[str]) -> None:
    array = objects(*[text.encode() for text in strings])
    sent = {"name": "x", "shape": [len(strings)], "datatype": "BYTES", "data": strings}
    (raw,) = read(INFER, {"inputs": [sent]}).raw_input_contents
    assert raw == to_raw(array)


def one(**fields: Any) -> Any:
    """A body with one input, a small one but for some fields; None takes a field out."""
    small: dict[str, Any] = {"name": "x", "shape": [2], "datatype": "UINT8", "data": [1, 2]}
    small |= fields
    return {"inputs": [{key: value for key, value in small.items() if value is not None}]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "body: is no JSON"),
        (b"\xff", "body: is no UTF-8 at byte 0"),
        (b"[" * 200_000, "body: is nested too deeply"),
        (b'{"a":' * 200_000, "body: is nested too deeply"),
        (b'{"id":' + b"9" * 10_000 + b"}", "body: holds a number of too many digits"),
        (b'{"id":"a","id":"b"}', "id: is given twice"),
        ([], "body: is an array; expected an object"),
        ({"id": 7}, "id: is a number; expected a string"),
        ({"id": "\ud800"}, "id: holds half a character"),
        ({"inputz": []}, "inputz: is unknown; expected one of id, "),
        ({"\ud800": []}, r"\ud800: is unknown"),
        ({"inputs": {}}, "inputs: is an object; expected an array"),
        ({"inputs": [7]}, "inputs[0]: is a number; expected an object"),
        ({"outputs": [{}]}, "outputs[0].name: is missing"),
        ({"outputs": [{"name": "a", "parameters": {"binary_data": 1}}]}, "[binary_data]: is a num"),
        ({"parameters": {"binary_data_output": "yes"}}, "parameters[binary_data_output]: is a str"),
        ({"parameters": {"a": None}}, "parameters[a]: is null"),
        ({"parameters": {"a": 2**64}}, "parameters[a]: is a number out of range"),
        ({"model_name": "svm-rbf"}, "model_name: is another than the path's"),
        (one(name=None), "inputs[0].name: is missing"),
        (one(data=None), "inputs[0].data: is missing"),
        (one(extra=1), "inputs[0].extra: is unknown"),
        (one(datatype="FP8"), "inputs[0].datatype: unknown datatype 'FP8'"),
        (one(shape=[3]), "inputs[0].data: has 2 values; its shape [3] has 3"),
        (one(shape=[2**62, 2**62]), "has 2 values; its shape"),
        (one(shape=[1] * 100_000), "inputs[0].shape: has 100000 dimensions"),
        (one(shape=[-1]), "inputs[0].shape[0]: is no whole number"),
        (one(shape=[True]), "inputs[0].shape[0]: is no whole number"),
        (one(shape=[2**63]), "inputs[0].shape[0]: is no whole number"),
        (one(shape=[2, 1], data=[[1], [2, 3]]), "is nested otherwise than its shape [2, 1]"),
        (one(shape=[2], data=[[1, 2]]), "is nested otherwise than its shape [2]"),
        (one(data=[[1], 2], shape=[2, 1]), "is nested otherwise"),
        (one(data=[1, [2]]), "has an array at 1; UINT8 has whole numbers"),
        (one(data=[1, 256]), "has a number out of the range of UINT8"),
        (one(data=[1, -1]), "has a number out of the range of UINT8"),
        (one(data=[1, 2.0]), "has 2.0 at 1; UINT8 has whole numbers"),
        (one(data=[1, True]), "has a boolean at 1; UINT8 has whole numbers"),
        (one(data=[1, "2"]), "has a string at 1; UINT8 has whole numbers"),
        (one(data=[1, None]), "has null at 1; UINT8 has whole numbers"),
        (one(data="AQI="), "inputs[0].data: is a string; expected an array"),
        (one(datatype="INT64", data=[1, 2**63]), "out of the range of INT64"),
        (one(datatype="INT8", data=[1, 10**4000]), "out of the range of INT8"),
        (one(datatype="BOOL", data=[0, 1]), "has a number at 0; BOOL has true or false"),
        (one(datatype="FP32", data=[1, 1e39]), "out of the range of FP32"),
        (one(datatype="FP32", data=[1, 10**400]), "out of the range of FP32"),
        (one(datatype="BYTES", data=["a", 1]), "has a number at 1; BYTES has strings"),
        (one(datatype="BYTES", data=["a", "\ud800"]), "data[1]: holds half a character"),
        (
            one(datatype="BYTES", data=["YQ==", "*"], parameters={"content_type": "base64"}),
            "inputs[0].data[1]: is no base64",
        ),
        (one(parameters={"binary_data_size": 2}), "data: is given beside binary_data_size"),
        (one(data=None, parameters={"binary_data_size": 2}), "is 2; 0 bytes are left"),
        (one(data=None, parameters={"binary_data_size": -1}), "is -1; 0 bytes are left"),
        (one(data=None, parameters={"binary_data_size": 10**400}), "; 0 bytes are left"),
        (one(data=None, parameters={"binary_data_size": True}), "is a boolean"),
    ],
)
def test_a_body_that_is_wrong_is_told_where(body: Any, said: str) -> None:
    assert said in refusal(body)


@pytest.mark.parametrize(
    ("length", "said"),
    [
        ("-1", "is no number of bytes"),
        ("1e3", "is no number of bytes"),
        ("٣", "is no number of bytes"),
        ("9" * 5000, "is no number of bytes"),
        ("99999999", "the body has "),
        ("5", "body: is no JSON"),
    ],
)
def test_a_length_that_lies_is_refused(length: str, said: str) -> None:
    body, _ = binary(IMAGES[:1])
    assert said in refusal(body, {LENGTH: length})


def test_bytes_that_no_input_claims_are_refused() -> None:
    body, headers = binary(IMAGES[:1])
    assert "leaves 1025 bytes behind the JSON" in refusal(body + b"x", headers)
    assert "has 1025 bytes; without JSON, 1024 of each image" in refusal(b"x" * 1025, {LENGTH: "0"})


def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(Unsupported, match="'gzip' is not taken"):
        read(INFER, {}, {"content-encoding": "gzip"})


def test_nan_in_a_request_is_the_services_to_refuse() -> None:
    body = b'{"inputs":[{"name":"pixels","shape":[2],"datatype":"FP32","data":[NaN,1]}]}'
    (raw,) = read(INFER, body).raw_input_contents
    assert np.isnan(from_raw("FP32", [2], raw)).tolist() == [True, False]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["inputs", "name", "shape", "datatype", "data", "parameters", "outputs"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
)


@given(ANY_JSON | st.binary(max_size=64), st.none() | st.text(max_size=4))
def test_any_body_is_read_or_refused(body: Any, length: str | None) -> None:
    try:
        message = read(INFER, body, {} if length is None else {LENGTH: length})
    except ServiceError as error:
        write_error(error)  # whatever a caller wrote can be shown
    else:
        assert len(message.raw_input_contents) == len(message.inputs)
