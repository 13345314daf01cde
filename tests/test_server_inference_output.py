"""What an Open Inference request may ask for: classifications and parameters."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import RunningServer
from inferring import outputs_of, raw_request, refusal, typed_request

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.labels import GLYPHS
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(5, 82)


@pytest.fixture
def stub(server: RunningServer) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield GRPCInferenceServiceStub(channel)


def asking(request: pb.ModelInferRequest, output: str, classes: int) -> pb.ModelInferRequest:
    request.outputs.add(name=output).parameters["classification"].int64_param = classes
    return request


@pytest.mark.parametrize("make", [raw_request, typed_request])
def test_classification_gives_the_best_classes_with_score_index_and_label(
    stub: GRPCInferenceServiceStub, make: Any
) -> None:
    plain = outputs_of(stub.ModelInfer(make(IMAGES), timeout=5))
    request = asking(make(IMAGES), "probabilities", 3)
    request.outputs.add(name="digit")
    reply = stub.ModelInfer(request, timeout=5)
    assert [(t.name, t.datatype, list(t.shape)) for t in reply.outputs] == [
        ("probabilities", "BYTES", [5, 3]),
        ("digit", "INT64", [5]),
    ]
    assert bool(reply.raw_output_contents) is (make is raw_request)
    answers = outputs_of(reply)
    for image, texts in enumerate(answers["probabilities"]):
        probabilities = plain["probabilities"][image]
        best = sorted(range(10), key=lambda label: -probabilities[label])[:3]
        assert [text.decode() for text in texts] == [
            f"{probabilities[label]:.6f}:{label}:{GLYPHS[label]}" for label in best
        ]
        assert best[0] == answers["digit"][image]


def test_no_more_classes_come_than_there_are(stub: GRPCInferenceServiceStub) -> None:
    request = asking(raw_request(IMAGES, "svm-rbf"), "scores", 99)
    (output,) = stub.ModelInfer(request, timeout=5).outputs
    assert list(output.shape) == [5, 10]


def test_a_label_cannot_be_classified(stub: GRPCInferenceServiceStub) -> None:
    said = refusal(stub, asking(raw_request(IMAGES), "digit", 1))
    assert said.startswith("outputs[0].parameters[classification]: 'digit'")


@pytest.mark.parametrize("classes", [0, -1, "3"])
def test_a_count_of_classes_that_is_none_is_refused(
    stub: GRPCInferenceServiceStub, classes: int | str
) -> None:
    request = raw_request(IMAGES)
    parameter = request.outputs.add(name="scores").parameters["classification"]
    if isinstance(classes, int):
        parameter.int64_param = classes
    else:
        parameter.string_param = classes
    assert "expected an int64_param" in refusal(stub, request)


def test_an_output_is_requested_once(stub: GRPCInferenceServiceStub) -> None:
    request = raw_request(IMAGES)
    request.outputs.add(name="digit")
    request.outputs.add(name="digit")
    assert "outputs[1].name: 'digit' is requested twice" in refusal(stub, request)


def test_a_free_parameter_has_no_effect(stub: GRPCInferenceServiceStub) -> None:
    plain = stub.ModelInfer(raw_request(IMAGES), timeout=5)
    request = raw_request(IMAGES)
    request.parameters["team"].string_param = "blue"
    request.parameters["priority"].uint64_param = 3
    request.parameters["sequence_id"].int64_param = 0
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    request.inputs[0].parameters["binary_data_size"].int64_param = 7  # KServe's client sets it
    request.outputs.add(name="digit").parameters["binary_data"].bool_param = True
    request.outputs.add(name="scores")
    request.outputs.add(name="probabilities")
    assert stub.ModelInfer(request, timeout=5) == plain


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("triton_secret", {"bool_param": True}, "names that begin triton_ are Triton's"),
        ("sequence_id", {"int64_param": 4}, "keep no state between requests"),
        ("sequence_id", {"string_param": "a"}, "keep no state between requests"),
        ("sequence_start", {"bool_param": True}, "keep no state between requests"),
        ("sequence_start", {"int64_param": 1}, "is no bool_param"),
        ("priority", {"int64_param": -1}, "is -1; expected 0 or more"),
        ("priority", {"string_param": "high"}, "is no int64_param or uint64_param"),
        ("timeout", {"double_param": 1.0}, "is no int64_param"),
        ("timeout", {}, "is no int64_param"),
    ],
)
def test_a_reserved_parameter_that_cannot_be_obeyed_is_refused(
    stub: GRPCInferenceServiceStub, name: str, fields: dict[str, Any], said: str
) -> None:
    request = raw_request(IMAGES)
    request.parameters[name].MergeFrom(pb.InferParameter(**fields))
    answer = refusal(stub, request)
    assert answer.startswith(f"parameters[{name}]: ")
    assert said in answer


def test_a_wait_past_the_timeout_parameter_drops_the_call(
    stub: GRPCInferenceServiceStub,
) -> None:
    request = raw_request(IMAGES)
    request.parameters["timeout"].int64_param = 1  # no call comes through a queue in 1 µs
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request, timeout=5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "its timeout is 1 µs" in str(caught.value.details())
    request.parameters["timeout"].int64_param = 5_000_000
    assert stub.ModelInfer(request, timeout=5).outputs


def test_shared_memory_is_refused_where_it_is_asked_for(stub: GRPCInferenceServiceStub) -> None:
    request = raw_request(IMAGES)
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"
    assert "inputs[0].parameters[shared_memory_region]" in refusal(stub, request)
    request = raw_request(IMAGES)
    request.outputs.add(name="digit").parameters["shared_memory_region"].string_param = "region"
    assert "outputs[0].parameters[shared_memory_region]" in refusal(stub, request)


def test_batches_of_all_sizes_keep_their_shapes(stub: GRPCInferenceServiceStub) -> None:
    """Heads of responses are kept and reused: each must fit its own request."""
    alone = [outputs_of(stub.ModelInfer(raw_request(IMAGES[i : i + 1]), timeout=5)) for i in (0, 1)]
    for count in (2, 1, 5, 2, 1):
        reply = stub.ModelInfer(raw_request(IMAGES[:count], id=str(count)), timeout=5)
        assert reply.id == str(count)
        answers = outputs_of(reply)
        assert answers["scores"].shape == (count, 10)
        np.testing.assert_allclose(answers["scores"][0], alone[0]["scores"][0], atol=1e-5)
