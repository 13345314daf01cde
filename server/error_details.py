"""What a service's error says to programs: google.rpc.BadRequest and RetryInfo."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from server.errors import InvalidRequest, Overloaded, ServiceError


def details_of(error: ServiceError | None) -> list[Message]:
    """The details of an error; of a fault of ours there are none."""
    if isinstance(error, InvalidRequest):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.description
        )
        return [error_details_pb2.BadRequest(field_violations=[violation])]
    if isinstance(error, Overloaded):
        nanos = round(error.retry_seconds * 1e9)
        return [error_details_pb2.RetryInfo(retry_delay=Duration(nanos=nanos))]
    return []
