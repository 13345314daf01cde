"""Turn a service's errors into gRPC statuses; the only module that knows the codes."""

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status

from server.error_details import details_of
from server.errors import (
    CallerGone,
    DeadlinePassed,
    InvalidRequest,
    MessageTooLarge,
    NotFound,
    NotReady,
    Overloaded,
    ServiceError,
    Unauthenticated,
    Unsupported,
)

_CODES: dict[type[ServiceError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    NotReady: grpc.StatusCode.UNAVAILABLE,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    MessageTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    CallerGone: grpc.StatusCode.CANCELLED,
}


def code_of(error: ServiceError) -> grpc.StatusCode:
    """The status code of a service's error."""
    return _CODES[type(error)]


def status_of(error: ServiceError) -> grpc.Status:
    """The whole status of an error, with its details (google.rpc.BadRequest, RetryInfo)."""
    details = [_pack(detail) for detail in details_of(error)]
    code = getattr(code_pb2, code_of(error).name)
    return rpc_status.to_status(status_pb2.Status(code=code, message=str(error), details=details))


def _pack(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
