"""What a front and the codecs of HTTP bodies hand each other: requests, responses, endpoints.

A front reads a request, asks `server.rest.find_endpoint` what it means, calls the method that the
endpoint names with the message that it reads, and sends what it writes. No codec calls a service.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from server.compression import ALGORITHMS, inflate
from server.errors import InvalidRequest, ServiceError, Unsupported

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request whose body has come."""

    method: str  # in upper case
    path: str  # still percent-encoded, without the query
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response; the front adds its length."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()  # names in lower case


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How one path says the messages of one method; keeps nothing between calls."""

    path: str  # of the method, such as inference.GRPCInferenceService/ModelInfer
    read: Callable[[HttpRequest], Any]  # a request's message; raises InvalidRequest or Unsupported
    write: Callable[[Any, HttpRequest], HttpResponse]  # the method's answer
    refuse: Callable[[ServiceError | None], HttpResponse]  # None for a fault of ours


def media_type(request: HttpRequest) -> str:
    """What a body is said to be, in lower case and without parameters; empty where not said.

    Raises InvalidRequest where it is said to be text in another encoding than UTF-8.
    """
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    name, _, value = parameters.strip().partition("=")
    if name == "charset" and value.strip(' "') not in ("utf-8", "utf8"):
        raise InvalidRequest("content-type", f"has the charset {value[:16]!r}; expected utf-8")
    return kind.strip()


def is_compressed(request: HttpRequest) -> bool:
    """Whether the body is said to be compressed by what can be unpacked."""
    return _coding(request) in ALGORITHMS


def unpack(request: HttpRequest, limit: int) -> HttpRequest:
    """The request with its body unpacked; raises MessageTooLarge or InvalidRequest."""
    headers = {k: v for k, v in request.headers.items() if k != "content-encoding"}
    return replace(request, headers=headers, body=inflate(request.body, limit))


def expect_plain(request: HttpRequest) -> None:
    """Raise Unsupported where the body is still compressed."""
    if (coding := _coding(request)) not in ("", "identity"):
        raise Unsupported(f"content-encoding {coding[:16]!r} is not taken here")


def _coding(request: HttpRequest) -> str:
    return request.headers.get("content-encoding", "identity").strip().lower()
