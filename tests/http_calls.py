"""HTTP bodies through the codecs, with a real server's gRPC methods between them."""

import json
from collections.abc import Mapping
from typing import Any

import grpc
from conftest import RunningServer
from google.protobuf import message_factory

from gurmukhi.health import health_pb2
from gurmukhi.inference import open_inference_grpc_pb2
from gurmukhi.v1 import digits_pb2
from server.rest import find_endpoint
from server.web import Endpoint, HttpRequest, HttpResponse

_FILES = {
    "inference.GRPCInferenceService": open_inference_grpc_pb2,
    "gurmukhi.v1.DigitService": digits_pb2,
    "grpc.health.v1.Health": health_pb2,
}


def request_of(
    target: str, body: Any = b"", headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """A request from `POST /path?query`; a body that is no bytes is sent as JSON."""
    method, _, where = target.partition(" ")
    path, _, query = where.partition("?")
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {} if isinstance(body, bytes) else {"content-type": "application/json"}
    return HttpRequest(method, path, query, {**kind, **(headers or {})}, data)


def endpoint_of(request: HttpRequest) -> Endpoint:
    """The endpoint that a request's path names."""
    endpoint = find_endpoint(request.method, request.path)
    assert isinstance(endpoint, Endpoint), f"{request.method} {request.path}: {endpoint}"
    return endpoint


def read(target: str, body: Any = b"", headers: Mapping[str, str] | None = None) -> Any:
    """The message that a request is read as."""
    request = request_of(target, body, headers)
    return endpoint_of(request).read(request)


def ask(
    server: RunningServer, target: str, body: Any = b"", headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """The response to a request that is read, answered by a server, and written."""
    request = request_of(target, body, headers)
    endpoint = endpoint_of(request)
    service, _, method = endpoint.path.partition("/")
    described = _FILES[service].DESCRIPTOR.services_by_name[service.rpartition(".")[2]]
    answer: Any = message_factory.GetMessageClass(described.methods_by_name[method].output_type)
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_unary(
            f"/{endpoint.path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return endpoint.write(call(endpoint.read(request), timeout=10), request)


def ask_json(
    server: RunningServer, target: str, body: Any = b"", headers: Mapping[str, str] | None = None
) -> Any:
    """The JSON of a response that is 200."""
    response = ask(server, target, body, headers)
    assert (response.status, response.content_type) == (200, "application/json")
    return json.loads(response.body)
