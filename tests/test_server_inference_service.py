"""The Open Inference Protocol v2 over a real channel to a real server."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import RunningServer
from inferring import outputs_of, raw_request, refusal, typed_request

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(20, 78)
MODELS = ("mlp", "svm-linear", "svm-poly", "svm-rbf", "svm-sigmoid")


@pytest.fixture
def stub(server: RunningServer) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield GRPCInferenceServiceStub(channel)


def test_the_server_is_live_and_ready(stub: GRPCInferenceServiceStub) -> None:
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=5).live
    assert stub.ServerReady(pb.ServerReadyRequest(), timeout=5).ready


def test_server_metadata_names_the_server_and_its_extensions(
    stub: GRPCInferenceServiceStub,
) -> None:
    reply = stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=5)
    assert reply.name == "gurmukhi-serve"
    assert reply.version
    assert sorted(reply.extensions) == [
        *("classification", "model_configuration", "model_repository", "parameters", "statistics")
    ]


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [("mlp", "", True), ("mlp", "1", True), ("mlp", "7", False), ("nothing", "", False)],
)
def test_model_ready_honours_name_and_version(
    stub: GRPCInferenceServiceStub, name: str, version: str, ready: bool
) -> None:
    request = pb.ModelReadyRequest(name=name, version=version)
    assert stub.ModelReady(request, timeout=5).ready is ready


@pytest.mark.parametrize("name", MODELS)
def test_model_metadata_describes_tensors_and_bundle(
    stub: GRPCInferenceServiceStub, name: str
) -> None:
    reply = stub.ModelMetadata(pb.ModelMetadataRequest(name=name), timeout=5)
    assert reply.platform == "onnx_onnxv1"
    assert [(t.name, t.datatype, list(t.shape)) for t in reply.inputs] == [
        ("pixels", "UINT8", [-1, 32, 32])
    ]
    assert [(t.name, t.datatype) for t in reply.outputs][:2] == [
        ("digit", "INT64"),
        ("scores", "FP32"),
    ]
    assert len(reply.properties["sha256"]) == 64
    assert 0 < float(reply.properties["accuracy"]) <= 1


@pytest.mark.parametrize("name", MODELS)
def test_raw_and_typed_requests_get_the_same_answer_each_in_its_encoding(
    stub: GRPCInferenceServiceStub, name: str
) -> None:
    raw = stub.ModelInfer(raw_request(IMAGES, name), timeout=5)
    typed = stub.ModelInfer(typed_request(IMAGES, name), timeout=5)
    assert not typed.raw_output_contents
    assert not any(output.HasField("contents") for output in raw.outputs)
    arrays = outputs_of(raw)
    for output, values in outputs_of(typed).items():
        np.testing.assert_array_equal(values, arrays[output])


def test_flat_images_get_the_answer_of_square_ones(stub: GRPCInferenceServiceStub) -> None:
    square = stub.ModelInfer(raw_request(IMAGES), timeout=5)
    flat = stub.ModelInfer(raw_request(IMAGES.reshape(len(IMAGES), -1)), timeout=5)
    assert flat.raw_output_contents == square.raw_output_contents


def test_the_id_comes_back_and_the_version_is_named(stub: GRPCInferenceServiceStub) -> None:
    reply = stub.ModelInfer(raw_request(IMAGES[:1], id="a request"), timeout=5)
    assert (reply.id, reply.model_name, reply.model_version) == ("a request", "mlp", "1")


def test_only_requested_outputs_come_back_in_their_order(stub: GRPCInferenceServiceStub) -> None:
    request = raw_request(IMAGES[:1])
    for name in ("scores", "digit"):
        request.outputs.add(name=name)
    reply = stub.ModelInfer(request, timeout=5)
    assert [output.name for output in reply.outputs] == ["scores", "digit"]
    assert len(reply.raw_output_contents) == 2


def test_all_outputs_come_back_where_none_is_requested(stub: GRPCInferenceServiceStub) -> None:
    for name in MODELS:
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name=name), timeout=5)
        reply = stub.ModelInfer(raw_request(IMAGES[:1], name), timeout=5)
        assert [output.name for output in reply.outputs] == [one.name for one in metadata.outputs]


def test_an_unknown_output_is_refused(stub: GRPCInferenceServiceStub) -> None:
    request = raw_request(IMAGES[:1])
    request.outputs.add(name="digits")
    assert refusal(stub, request).startswith("outputs[0].name: is 'digits'")


def test_probabilities_of_a_model_without_them_are_refused(stub: GRPCInferenceServiceStub) -> None:
    request = raw_request(IMAGES[:1], "svm-linear", model_version="1")
    request.outputs.add(name="probabilities")
    assert "expected one of digit, scores" in refusal(stub, request)


def test_raw_and_typed_contents_are_never_mixed(stub: GRPCInferenceServiceStub) -> None:
    request = typed_request(IMAGES[:1])
    request.raw_input_contents.append(IMAGES[:1].tobytes())
    assert "expected one of them" in refusal(stub, request)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "picture"}, "are 'picture'; expected 'pixels' or 'image' alone"),
        ({"name": "image"}, "expected BYTES for 'image'"),
        ({"datatype": "FP64"}, "inputs[0].datatype"),
        ({"datatype": "uint8"}, "inputs[0].datatype"),
        ({"shape": [1, 32, 31]}, "expected [N,32,32]"),
        ({"shape": [1024]}, "expected [N,32,32]"),
        ({"shape": [-1, 32, 32]}, "expected 1 to 1000 images"),
        ({"shape": [0, 32, 32]}, "expected 1 to 1000 images"),
        ({"shape": [2, 32, 32]}, "raw contents have 1024 bytes"),
        ({"shape": [2**62, 32, 32]}, "expected 1 to 1000 images"),
    ],
)
def test_a_tensor_that_breaks_a_rule_is_refused(
    stub: GRPCInferenceServiceStub, change: dict[str, Any], said: str
) -> None:
    request = pb.ModelInferRequest(model_name="mlp", raw_input_contents=[bytes(1024)])
    request.inputs.add(**{"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32], **change})
    assert said in refusal(stub, request)


def test_typed_values_outside_the_datatype_are_refused(stub: GRPCInferenceServiceStub) -> None:
    request = typed_request(IMAGES[:1])
    request.inputs[0].contents.uint_contents[5] = 256
    assert "holds 256" in refusal(stub, request)


def test_values_in_the_wrong_typed_field_are_refused(stub: GRPCInferenceServiceStub) -> None:
    request = pb.ModelInferRequest(model_name="mlp")
    tensor = request.inputs.add(name="pixels", datatype="UINT8", shape=[1, 32, 32])
    tensor.contents.fp32_contents.extend([0.0] * 1024)
    assert "fp32_contents" in refusal(stub, request)


def test_no_input_and_two_inputs_are_refused(stub: GRPCInferenceServiceStub) -> None:
    assert "are none" in refusal(stub, pb.ModelInferRequest(model_name="mlp"))
    request = raw_request(IMAGES[:1])
    request.inputs.add(name="pixels", datatype="UINT8", shape=[1, 32, 32])
    assert "alone" in refusal(stub, request)


def test_raw_contents_must_be_one_for_each_input(stub: GRPCInferenceServiceStub) -> None:
    request = raw_request(IMAGES[:1])
    request.raw_input_contents.append(b"")
    assert "2 entries for 1 input" in refusal(stub, request)


def test_a_model_must_be_named(stub: GRPCInferenceServiceStub) -> None:
    assert refusal(stub, raw_request(IMAGES[:1], "")).startswith("model_name:")


@pytest.mark.parametrize(("name", "version"), [("nothing", ""), ("mlp", "9"), ("mlp", "01")])
def test_an_unknown_model_is_not_found(
    stub: GRPCInferenceServiceStub, name: str, version: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(raw_request(IMAGES[:1], name, model_version=version), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
