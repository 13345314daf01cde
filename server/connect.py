"""The Connect protocol: a method's message as JSON or protobuf, by POST, and errors as JSON.

A picture itself may be sent to Classify too, with model, version and top_k in the query.
Source: connectrpc.com/docs/protocol, "Unary RPCs".
"""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from google.protobuf.message import DecodeError, Message

from gurmukhi.health import health_pb2
from gurmukhi.v1 import digits_pb2
from server.error_details import details_of
from server.errors import InvalidRequest, ServiceError
from server.http_status import headers_of, outcome_of
from server.json_body import read_json, show, write_json
from server.proto_json import read_message, write_message
from server.web import JSON, OCTETS, Endpoint, HttpRequest, HttpResponse, expect_plain, media_type

PROTO: Final = "application/proto"
_VERSION: Final = "1"
_CLASSIFY: Final = "gurmukhi.v1.DigitService/Classify"
_REQUESTS: Final[dict[str, Callable[[], Any]]] = {
    _CLASSIFY: digits_pb2.ClassifyRequest,
    "gurmukhi.v1.DigitService/ClassifyBatch": digits_pb2.ClassifyBatchRequest,
    "gurmukhi.v1.DigitService/ListModels": digits_pb2.ListModelsRequest,
    "grpc.health.v1.Health/Check": health_pb2.HealthCheckRequest,
}
_MOST_MILLISECONDS: Final = 10  # digits


def timeout_seconds(request: HttpRequest) -> float | None:
    """How long a caller waits by its Connect-Timeout-Ms; None for ever. Raises InvalidRequest."""
    value = request.headers.get("connect-timeout-ms")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= _MOST_MILLISECONDS):
        raise InvalidRequest("connect-timeout-ms", "is no number of at most ten digits")
    return int(value) / 1000


def write_error(error: ServiceError | None) -> HttpResponse:
    """An error with its code and details; None is a fault of ours, of which no more is said."""
    outcome = outcome_of(error)
    body: dict[str, Any] = {"code": outcome.code, "message": str(error or "internal error")}
    if details := details_of(error):
        body["details"] = list(map(_detail, details))
    return HttpResponse(outcome.status, JSON, write_json(body), headers_of(error))


def _detail(detail: Message) -> dict[str, str]:
    packed = base64.b64encode(detail.SerializeToString()).decode()
    return {"type": detail.DESCRIPTOR.full_name, "value": packed.rstrip("=")}


def _read(make: Callable[[], Any], request: HttpRequest) -> Any:
    version = request.headers.get("connect-protocol-version", _VERSION)
    if version != _VERSION:
        raise InvalidRequest("connect-protocol-version", f"is {version[:8]!r}; expected '1'")
    expect_plain(request)
    kind = media_type(request)
    message = make()
    if kind == JSON:
        return read_message(read_json(request.body), message)
    if kind == PROTO:
        try:
            message.ParseFromString(request.body)
        except DecodeError as error:
            name = message.DESCRIPTOR.full_name
            raise InvalidRequest("body", f"is no {name}") from error
        return message
    if not isinstance(message, digits_pb2.ClassifyRequest):
        raise InvalidRequest("content-type", f"is {kind[:32]!r}; expected {JSON} or {PROTO}")
    if kind == OCTETS or kind.startswith("image/"):
        return _read_picture(message, request)
    raise InvalidRequest(
        "content-type", f"is {kind[:32]!r}; expected {JSON}, {PROTO}, image/… or {OCTETS}"
    )


def _read_picture(
    message: digits_pb2.ClassifyRequest, request: HttpRequest
) -> digits_pb2.ClassifyRequest:
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, max_num_fields=8, errors="strict")
    except ValueError as error:
        raise InvalidRequest("query", "has too many fields, or bytes that are no UTF-8") from error
    names = [name for name, _ in pairs]
    for name in names:
        if name == "image":
            raise InvalidRequest("image", "is given in the query; expected in the body")
        if names.count(name) > 1:
            raise InvalidRequest(show(name), "is given twice")
    read_message(dict(pairs), message)
    message.image.encoded = request.body
    return message


def _write(message: Any, request: HttpRequest) -> HttpResponse:
    if media_type(request) == PROTO:
        return HttpResponse(200, PROTO, message.SerializeToString())
    return HttpResponse(200, JSON, write_json(write_message(message)))


ENDPOINTS: Final = {
    f"/{path}": Endpoint(path, partial(_read, make), _write, write_error)
    for path, make in _REQUESTS.items()
}
