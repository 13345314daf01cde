"""Pages of other origins may call where that is configured, and nowhere else."""

import pytest
from http_calls import request_of

from server.cors import is_preflight, parse_origins, preflight, response_headers
from server.web import HttpRequest

PAGE = "https://digits.example"
PATH = "/gurmukhi.v1.DigitService/Classify"


def asked(origin: str | None = PAGE, method: str = "OPTIONS") -> HttpRequest:
    headers = {"access-control-request-method": "POST"}
    headers |= {"access-control-request-headers": "content-type,x-grpc-web,x-user-agent"}
    if origin:
        headers["origin"] = origin
    return request_of(f"{method} {PATH}", b"", headers)


def test_origins_are_a_list_with_commas() -> None:
    assert parse_origins("") == ()
    assert parse_origins("*") == ("*",)
    assert parse_origins(f"{PAGE}, http://localhost:8080") == (PAGE, "http://localhost:8080")


@pytest.mark.parametrize("text", [f"{PAGE}/", "digits.example", "null", "https://", f"{PAGE} x"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        parse_origins(text)


def test_a_preflight_is_told_from_a_call() -> None:
    assert is_preflight(asked())
    assert not is_preflight(asked(origin=None))
    assert not is_preflight(asked(method="POST"))
    assert not is_preflight(request_of(f"OPTIONS {PATH}", b"", {"origin": PAGE}))


def test_a_configured_origin_is_granted_what_clients_send() -> None:
    response = preflight((PAGE, "https://other.example"), asked())
    headers = dict(response.headers)
    assert (response.status, response.body) == (204, b"")
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["vary"] == "origin"
    assert "POST" in headers["access-control-allow-methods"]
    allowed = headers["access-control-allow-headers"].split(", ")
    wanted = "authorization content-type connect-protocol-version connect-timeout-ms grpc-timeout"
    assert {*wanted.split(), "x-grpc-web", "x-user-agent"} <= set(allowed)
    assert "access-control-allow-credentials" not in headers


def test_its_page_may_read_the_status() -> None:
    headers = dict(response_headers((PAGE,), asked(method="POST")))
    assert headers["access-control-allow-origin"] == PAGE
    exposed = headers["access-control-expose-headers"].split(", ")
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= set(exposed)


def test_another_origin_is_granted_nothing() -> None:
    for origin in ("https://digits.example.evil", "http://digits.example", "null", PAGE.upper()):
        for headers in (
            preflight((PAGE,), asked(origin)).headers,
            response_headers((PAGE,), asked(origin)),
        ):
            assert headers == (("vary", "origin"),)


def test_nothing_is_said_where_none_is_configured() -> None:
    assert preflight((), asked()).headers == response_headers((), asked()) == ()


def test_a_call_that_is_no_pages_is_told_nothing() -> None:
    assert response_headers(("*",), asked(origin=None)) == ()


def test_all_origins_may_call_by_a_star() -> None:
    headers = dict(response_headers(("*",), asked("https://anybody.example")))
    assert headers["access-control-allow-origin"] == "*"
    assert "vary" not in headers
