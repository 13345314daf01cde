"""Which pages of other origins may call: the answers to a browser's questions.

`origins` are exact ones such as `https://digits.example`, or `*` for all; with none, nothing is
said and browsers keep other pages out. No page may send cookies: a call's token is a header.
Source: the Fetch standard, "HTTP extensions"; connectrpc.com/docs/cors.
"""

import re
from collections.abc import Sequence
from typing import Final

from server.web import HttpRequest, HttpResponse

ANY: Final = "*"
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")  # as a browser sends it
# What clients of gRPC-Web, Connect and Open Inference send beside what needs no leave.
_REQUEST_HEADERS: Final = (
    "authorization, connect-protocol-version, connect-timeout-ms, content-type, grpc-timeout, "
    "inference-header-content-length, traceparent, tracestate, x-grpc-web, x-user-agent"
)
_RESPONSE_HEADERS: Final = (
    "grpc-message, grpc-status, grpc-status-details-bin, inference-header-content-length, "
    "retry-after, www-authenticate"
)
_SECONDS: Final = "7200"  # Chromium's bound; longer has no effect there


def parse_origins(text: str) -> tuple[str, ...]:
    """Origins from a list with commas; raises ValueError."""
    origins = tuple(filter(None, map(str.strip, text.split(","))))
    for origin in origins:
        if origin != ANY and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin; expected such as https://digits.example")
    return origins


def is_preflight(request: HttpRequest) -> bool:
    """Whether a browser asks for leave, before the call itself."""
    return (
        request.method == "OPTIONS"
        and "origin" in request.headers
        and "access-control-request-method" in request.headers
    )


def preflight(origins: Sequence[str], request: HttpRequest) -> HttpResponse:
    """Grant leave or, by saying nothing of it, refuse it."""
    granted = _origin(origins, request)
    if not granted:
        return HttpResponse(204, "", b"", _vary(origins))
    return HttpResponse(
        204,
        "",
        b"",
        (
            *granted,
            ("access-control-allow-methods", "GET, POST"),
            ("access-control-allow-headers", _REQUEST_HEADERS),
            ("access-control-max-age", _SECONDS),
        ),
    )


def response_headers(origins: Sequence[str], request: HttpRequest) -> tuple[tuple[str, str], ...]:
    """What is added to the response of any call, so that the page may read it."""
    granted = _origin(origins, request)
    if not granted:
        return _vary(origins)
    return (*granted, ("access-control-expose-headers", _RESPONSE_HEADERS))


def _origin(origins: Sequence[str], request: HttpRequest) -> tuple[tuple[str, str], ...]:
    origin = request.headers.get("origin")
    if origin is None:
        return ()
    if ANY in origins:
        return (("access-control-allow-origin", ANY),)
    if origin in origins:
        return (("access-control-allow-origin", origin), *_vary(origins))
    return ()


def _vary(origins: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Caches must not give one origin what was said to another."""
    return (("vary", "origin"),) if origins and ANY not in origins else ()
