"""Errors as Open Inference v2 over HTTP has them: a status, and a line for a person."""

from server.errors import MessageTooLarge, ServiceError
from server.http_status import METHOD_NOT_ALLOWED, TOO_LARGE, headers_of, outcome_of
from server.json_body import show, write_json
from server.web import JSON, HttpResponse


def write_error(error: ServiceError | None) -> HttpResponse:
    """An error; None is a fault of ours, of which no more is said."""
    body = write_json({"error": str(error or "internal error")})
    status = TOO_LARGE if isinstance(error, MessageTooLarge) else outcome_of(error).status
    return HttpResponse(status, JSON, body, headers_of(error))


def wrong_method(method: str, allowed: str) -> HttpResponse:
    """A path that is known, called by a method that it has not."""
    body = write_json({"error": f"{show(method)} is not offered here; expected {allowed}"})
    return HttpResponse(METHOD_NOT_ALLOWED, JSON, body, (("allow", allowed),))
