"""Triton's extensions over a real channel to a real server, and their names on the wire."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import RunningServer, serving
from google.protobuf.descriptor import Descriptor, EnumDescriptor
from inferring import raw_request

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(7, 83)
MODELS = ("mlp", "svm-linear", "svm-poly", "svm-rbf", "svm-sigmoid")

# Prints what tritonclient declares, as `declared` below does for ours.
THEIRS = """
import json, sys
from tritonclient.grpc import model_config_pb2, service_pb2

def declared(message):
    return {
        field.name: [
            field.number, field.type, field.is_repeated,
            field.message_type and field.message_type.full_name,
            field.enum_type and field.enum_type.full_name,
            field.containing_oneof and field.containing_oneof.name,
        ]
        for field in message.fields
    }

def walk(messages):
    for message in messages:
        yield message
        yield from walk(message.nested_types)

files = (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)
messages = [m for file in files for m in walk(file.message_types_by_name.values())]
enums = [e for file in files for e in file.enum_types_by_name.values()]
enums += [e for m in messages for e in m.enum_types]
(service,) = service_pb2.DESCRIPTOR.services_by_name.values()
print(json.dumps({
    "messages": {m.full_name: declared(m) for m in messages},
    "enums": {e.full_name: {v.name: v.number for v in e.values} for e in enums},
    "methods": {
        m.name: [
            m.input_type.full_name, m.output_type.full_name, m.client_streaming, m.server_streaming
        ]
        for m in service.methods
    },
    "service": service.full_name,
}))
"""


@pytest.fixture
def stub(server: RunningServer) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", THEIRS], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


def declared(message: Descriptor) -> dict[str, list[Any]]:
    return {
        field.name: [
            *(field.number, field.type, field.is_repeated),
            field.message_type and field.message_type.full_name,
            field.enum_type and field.enum_type.full_name,
            field.containing_oneof and field.containing_oneof.name,
        ]
        for field in message.fields
    }


def walk(messages: Any) -> Iterator[Descriptor]:
    for message in messages:
        yield message
        yield from walk(message.nested_types)


OUR_MESSAGES = list(walk(pb.DESCRIPTOR.message_types_by_name.values()))
OUR_ENUMS: list[EnumDescriptor] = [
    *pb.DESCRIPTOR.enum_types_by_name.values(),
    *(enum for message in OUR_MESSAGES for enum in message.enum_types),
]


@pytest.mark.parametrize("message", OUR_MESSAGES, ids=lambda message: message.full_name)
def test_every_field_is_declared_as_tritonclient_declares_it(
    theirs: dict[str, Any], message: Descriptor
) -> None:
    known = theirs["messages"]
    if message.full_name == "inference.ModelMetadataResponse":
        # The specification has `properties`; Triton's copy has not.
        known[message.full_name].setdefault("properties", declared(message)["properties"])
    if message.full_name == "inference.ModelMetadataResponse.PropertiesEntry":
        known.setdefault(message.full_name, declared(message))
    for name, field in declared(message).items():
        assert field == known[message.full_name][name], name


def test_enums_and_methods_are_declared_as_tritonclient_declares_them(
    theirs: dict[str, Any],
) -> None:
    for enum in OUR_ENUMS:
        assert {v.name: v.number for v in enum.values} == theirs["enums"][enum.full_name]
    (service,) = pb.DESCRIPTOR.services_by_name.values()
    assert service.full_name == theirs["service"]
    for method in service.methods:
        assert theirs["methods"][method.name] == [
            *(method.input_type.full_name, method.output_type.full_name),
            *(method.client_streaming, method.server_streaming),
        ]


def test_every_version_is_in_the_index(stub: GRPCInferenceServiceStub) -> None:
    for ready in (False, True):
        reply = stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=ready), timeout=5)
        assert [(entry.name, entry.version, entry.state) for entry in reply.models] == [
            (name, "1", "READY") for name in MODELS
        ]


def code_of(call: Any, request: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=5)
    return caught.value.code().name, str(caught.value.details())


def test_models_are_neither_loaded_nor_unloaded_unless_that_is_allowed(
    stub: GRPCInferenceServiceStub,
) -> None:
    load = pb.RepositoryModelLoadRequest(model_name="mlp")
    unload = pb.RepositoryModelUnloadRequest(model_name="mlp")
    unload.parameters["unload_dependents"].bool_param = True  # tritonclient sends it
    for call, request in (
        (stub.RepositoryModelLoad, load),
        (stub.RepositoryModelUnload, unload),
    ):
        code, said = code_of(call, request)
        assert code == "UNIMPLEMENTED"
        assert "model" in said
    assert stub.ModelReady(pb.ModelReadyRequest(name="mlp"), timeout=5).ready


def test_a_load_says_which_model_and_nothing_else(stub: GRPCInferenceServiceStub) -> None:
    empty = pb.RepositoryModelLoadRequest()
    assert code_of(stub.RepositoryModelLoad, empty) == (
        "INVALID_ARGUMENT",
        "model_name: is empty; expected the name of a model",
    )
    changed = pb.RepositoryModelLoadRequest(model_name="mlp")
    changed.parameters["config"].string_param = "{}"
    code, said = code_of(stub.RepositoryModelLoad, changed)
    assert code == "INVALID_ARGUMENT"
    assert said.startswith("parameters[config]: is not offered")


def test_there_is_one_repository_without_a_name(stub: GRPCInferenceServiceStub) -> None:
    request = pb.RepositoryIndexRequest(repository_name="other")
    code, said = code_of(stub.RepositoryIndex, request)
    assert code == "UNIMPLEMENTED"
    assert "'other'" in said


@pytest.mark.parametrize("name", MODELS)
def test_a_models_configuration_is_what_its_bundle_says(
    stub: GRPCInferenceServiceStub, name: str
) -> None:
    config = stub.ModelConfig(pb.ModelConfigRequest(name=name), timeout=5).config
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name=name), timeout=5)
    assert (config.name, config.platform, config.backend) == (
        *(name, "onnxruntime_onnx"),
        "onnxruntime",
    )
    assert config.max_batch_size == 1000
    for tensors, described in (
        (config.input, metadata.inputs),
        (config.output, metadata.outputs),
    ):
        assert [
            (tensor.name, pb.DataType.Name(tensor.data_type), [-1, *tensor.dims])
            for tensor in tensors
        ] == [(one.name, f"TYPE_{one.datatype}", list(one.shape)) for one in described]
    assert list(config.version_policy.specific.versions) == [1]
    assert [group.kind for group in config.instance_group] == [pb.ModelInstanceGroup.KIND_CPU]
    assert config.parameters["sha256"].string_value == metadata.properties["sha256"]
    assert not config.model_transaction_policy.decoupled


def test_the_configuration_or_statistics_of_an_unknown_model_are_not_found(
    stub: GRPCInferenceServiceStub,
) -> None:
    for name, version in (("nothing", ""), ("mlp", "7")):
        config = pb.ModelConfigRequest(name=name, version=version)
        assert code_of(stub.ModelConfig, config)[0] == "NOT_FOUND"
        statistics = pb.ModelStatisticsRequest(name=name, version=version)
        assert code_of(stub.ModelStatistics, statistics)[0] == "NOT_FOUND"
    assert code_of(stub.ModelConfig, pb.ModelConfigRequest())[0] == "INVALID_ARGUMENT"
    alone = pb.ModelStatisticsRequest(version="1")
    assert code_of(stub.ModelStatistics, alone)[0] == "INVALID_ARGUMENT"


def test_a_stream_answers_in_order_and_goes_on_after_a_refusal(
    stub: GRPCInferenceServiceStub,
) -> None:
    requests = [raw_request(IMAGES[i : i + 1], id=str(i)) for i in range(6)]
    requests[2].model_name = "nothing"
    requests[4].inputs[0].datatype = "FP64"
    requests[5].parameters["triton_enable_empty_final_response"].bool_param = True
    replies = list(stub.ModelStreamInfer(iter(requests), timeout=10))
    assert [reply.infer_response.id for reply in replies] == [str(i) for i in range(6)]
    assert [bool(reply.error_message) for reply in replies] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]
    assert replies[2].error_message.startswith("no model 'nothing'")
    assert replies[4].error_message.startswith("inputs[0].datatype: is 'FP64'")
    alone = stub.ModelInfer(requests[0], timeout=5)
    assert replies[0].infer_response == alone
    marked = [
        reply.infer_response.parameters for reply in replies if reply.infer_response.parameters
    ]
    assert len(marked) == 1
    assert marked[0]["triton_final_response"].bool_param


def test_statistics_are_those_of_all_workers(models: Path) -> None:
    with serving(models, "--workers", "2") as running:
        for _ in range(8):  # each channel is a worker's, at random
            with grpc.insecure_channel(
                running.target, options=[("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                GRPCInferenceServiceStub(channel).ModelInfer(raw_request(IMAGES), timeout=5)
        with grpc.insecure_channel(running.target) as channel:
            request = pb.ModelStatisticsRequest(name="mlp")
            stub = GRPCInferenceServiceStub(channel)
            (mlp,) = stub.ModelStatistics(request, timeout=5).model_stats
    assert (mlp.inference_count, mlp.execution_count) == (8 * len(IMAGES), 8)


def test_statistics_count_images_runs_and_time(models: Path) -> None:
    began_ms = int(time.time() * 1000)
    with serving(models) as running, grpc.insecure_channel(running.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        for count in (1, 2, 7):
            stub.ModelInfer(raw_request(IMAGES[:count]), timeout=5)
        everything = stub.ModelStatistics(pb.ModelStatisticsRequest(), timeout=5).model_stats
        request = pb.ModelStatisticsRequest(name="mlp")
        (mlp,) = stub.ModelStatistics(request, timeout=5).model_stats
    assert [(stats.name, stats.version) for stats in everything] == [(name, "1") for name in MODELS]
    assert (mlp.name, mlp.version, mlp.inference_count, mlp.execution_count) == ("mlp", "1", 10, 3)
    figures = mlp.inference_stats
    assert figures.success.count == figures.compute_infer.count == figures.queue.count == 3
    assert 0 < figures.compute_infer.ns < figures.success.ns
    assert figures.fail.count == 0
    assert figures.compute_output.count == 3
    assert 0 < figures.compute_output.ns < figures.success.ns
    assert began_ms <= mlp.last_inference <= time.time() * 1000
    others = [stats.execution_count for stats in everything if stats.name != "mlp"]
    assert others == [0, 0, 0, 0]
    assert [stats.last_inference for stats in everything if stats.name != "mlp"] == [0] * 4


def test_statistics_count_what_failed_and_no_queue_of_streams(models: Path) -> None:
    with serving(models) as running, grpc.insecure_channel(running.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        good = raw_request(IMAGES)
        bad = raw_request(IMAGES, id="bad")
        bad.outputs.add(name="nothing")
        unknown = raw_request(IMAGES, "nothing")
        for request in (bad, bad, unknown):
            with pytest.raises(grpc.RpcError):
                stub.ModelInfer(request, timeout=5)
        assert len(list(stub.ModelStreamInfer(iter([good, bad, good, good]), timeout=10))) == 4
        statistics = pb.ModelStatisticsRequest(name="mlp")
        (mlp,) = stub.ModelStatistics(statistics, timeout=5).model_stats
    figures = mlp.inference_stats
    assert (figures.success.count, figures.fail.count, figures.queue.count) == (3, 3, 0)
    assert figures.fail.ns > 0
    assert (mlp.inference_count, mlp.execution_count) == (3 * len(IMAGES), 3)
