"""Server reflection is enough to call every service, as grpcurl does."""

import base64
from typing import Any

import grpc
from conftest import RunningServer
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from stock import IMAGES, MODELS, our_digits


def test_a_caller_who_knows_only_reflection_can_classify(server: RunningServer) -> None:
    """As grpcurl does it: ask which services there are, fetch their files, call with JSON."""
    with grpc.insecure_channel(server.target) as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)

        def ask(**fields: str) -> reflection_pb2.ServerReflectionResponse:
            request = reflection_pb2.ServerReflectionRequest(**fields)
            (reply,) = reflection.ServerReflectionInfo(iter([request]), timeout=5)
            return reply

        pool = DescriptorPool()
        known: set[str] = set()
        services = [one.name for one in ask(list_services="").list_services_response.service]
        for service in services:
            reply = ask(file_containing_symbol=service).file_descriptor_response
            files = [FileDescriptorProto.FromString(f) for f in reply.file_descriptor_proto]
            for file in sorted(files, key=lambda one: len(one.dependency)):
                if file.name not in known:
                    pool.Add(file)
                    known.add(file.name)

        def call(path: str, **fields: Any) -> dict[str, Any]:
            service, _, name = path.partition("/")
            method = pool.FindServiceByName(service).methods_by_name[name]
            request = ParseDict(fields, GetMessageClass(method.input_type)(), descriptor_pool=pool)
            reply_type: Any = GetMessageClass(method.output_type)
            send = channel.unary_unary(
                f"/{path}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=reply_type.FromString,
            )
            return MessageToDict(
                send(request, timeout=5), preserving_proto_field_name=True, descriptor_pool=pool
            )

        pixels = base64.b64encode(IMAGES[0].tobytes()).decode()  # as JSON carries bytes
        tensor = {
            "name": "pixels",
            "datatype": "UINT8",
            "shape": [1, 32, 32],
            "contents": {"uint_contents": IMAGES[0].ravel().tolist()},
        }
        inferred = call(
            "inference.GRPCInferenceService/ModelInfer",
            model_name="mlp",
            inputs=[tensor],
            outputs=[{"name": "digit"}],
        )
        index = call("inference.GRPCInferenceService/RepositoryIndex")
        classified = call("gurmukhi.v1.DigitService/Classify", image={"pixels": pixels})
    digit = our_digits(server, "mlp")[0]
    assert [int(n) for n in inferred["outputs"][0]["contents"]["int64_contents"]] == [digit]
    assert [entry["name"] for entry in index["models"]] == list(MODELS)
    assert int(classified["classification"].get("digit", 0)) == digit
