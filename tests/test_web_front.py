"""Calls by JSON and gRPC-Web on a real port: admitted, refused and counted as those by gRPC."""

import base64
import http.client
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningServer, serving

from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from server.grpc_web import frame

IMAGE = synthetic_digits(1, 84)[0][0]
CLASSIFY = "/gurmukhi.v1.DigitService/Classify"
LIST = "/gurmukhi.v1.DigitService/ListModels"
JSON = {"content-type": "application/json"}
WEB = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"
REQUEST = pb.ClassifyRequest(image=pb.Image(pixels=IMAGE.tobytes()), model="mlp")


@pytest.fixture(scope="module")
def web_server(models: Path) -> Iterator[RunningServer]:
    with serving(models, "--front", "envoy") as running:
        yield running


def send(
    server: RunningServer,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of the answer to `POST /path`."""
    connection = http.client.HTTPConnection("127.0.0.1", server.grpc_port, timeout=20)
    method, _, path = target.partition(" ")
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def count(server: RunningServer, method: str, code: str) -> float:
    """How many calls of a method ended with a code."""
    with urllib.request.urlopen(f"{server.http}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("grpc_server_handled_total{")
        and f'grpc_method="{method}"' in line
        and f'grpc_code="{code}"' in line
    )


def await_count(server: RunningServer, method: str, code: str, expected: float) -> None:
    until = time.monotonic() + 5
    while count(server, method, code) != expected:
        assert time.monotonic() < until, f"{method} {code}: {count(server, method, code)}"
        time.sleep(0.05)


def split(body: bytes) -> list[tuple[int, bytes]]:
    """The frames of a gRPC-Web body: flags and data."""
    frames = []
    while body:
        end = 5 + int.from_bytes(body[1:5], "big")
        frames.append((body[0], body[5:end]))
        body = body[end:]
    return frames


def test_each_call_is_counted_once_by_its_outcome(web_server: RunningServer) -> None:
    good = json.dumps({"image": {"pixels": base64.b64encode(IMAGE.tobytes()).decode()}}).encode()
    before = [count(web_server, "Classify", code) for code in ("OK", "INVALID_ARGUMENT")]
    for body, status in ((good, 200), (b"{}", 400), (b'{"a":1}', 400), (b"[[[", 400)):
        assert send(web_server, f"POST {CLASSIFY}", body, JSON)[0] == status
    await_count(web_server, "Classify", "OK", before[0] + 1)
    await_count(web_server, "Classify", "INVALID_ARGUMENT", before[1] + 3)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("GET /", 404),
        ("GET /v3", 404),
        ("POST /v2/models/mlp", 405),
        ("GET /v2/models/mlp/infer", 405),
        (f"GET {CLASSIFY}", 405),
        ("GET /v2/models/nothing", 404),
        ("GET /v2/models/nothing/ready", 503),
        ("POST /v2/repository/models/mlp/load", 501),
    ],
)
def test_what_is_not_there_says_so(web_server: RunningServer, target: str, status: int) -> None:
    before = count(web_server, "unknown", "UNIMPLEMENTED")
    got, headers, body = send(web_server, target)
    if target in ("GET /", "GET /v3") or status == 405:
        await_count(web_server, "unknown", "UNIMPLEMENTED", before + 1)
    assert (got, headers["content-type"]) == (status, "application/json")
    json.loads(body)


def test_a_body_that_is_too_large_is_refused(web_server: RunningServer) -> None:
    large = b" " * (2**20 + 1)
    assert send(web_server, "POST /v2/models/mlp/infer", large)[0] == 413
    status, _, body = send(web_server, f"POST {CLASSIFY}", large, JSON)
    assert (status, json.loads(body)["code"]) == (429, "resource_exhausted")


def test_a_deadline_that_has_passed_is_504(web_server: RunningServer) -> None:
    status, _, body = send(
        web_server, f"POST {CLASSIFY}", b"{}", {**JSON, "Connect-Timeout-Ms": "0"}
    )
    assert (status, json.loads(body)["code"]) == (504, "deadline_exceeded")
    status, _, body = send(web_server, f"POST {LIST}", b"{}", {**JSON, "Connect-Timeout-Ms": "-1"})
    assert (status, json.loads(body)["code"]) == (400, "invalid_argument")


def test_a_token_is_asked_for_but_not_by_health(models: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("open-sesame\n")
    health = "POST /grpc.health.v1.Health/Check"
    with serving(models, "--front", "envoy", "--token-file", str(tmp_path / "tokens")) as running:
        status, headers, _ = send(running, "GET /v2")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert send(running, f"POST {LIST}", b"{}", JSON)[0] == 401
        token = {"authorization": "Bearer open-sesame"}
        assert send(running, "GET /v2", headers=token)[0] == 200
        assert send(running, health, b"{}", JSON)[0] == 200


def test_a_page_of_a_configured_origin_may_call(models: Path, web_server: RunningServer) -> None:
    page, path = "https://digits.example", f"{LIST}"
    asked = {"origin": page, "access-control-request-method": "POST"}
    with serving(models, "--front", "envoy", "--cors-origins", page) as running:
        status, headers, _ = send(running, f"OPTIONS {path}", headers=asked)
        assert (status, headers["access-control-allow-origin"]) == (204, page)
        for kind in (JSON, {"content-type": WEB}):
            _, headers, _ = send(running, f"POST {path}", b"{}", {**kind, "origin": page})
            assert headers["access-control-allow-origin"] == page
            assert "grpc-status" in headers["access-control-expose-headers"]
        _, headers, _ = send(running, f"POST {path}", b"{}", {**JSON, "origin": "https://evil"})
        assert "access-control-allow-origin" not in headers
    status, headers, _ = send(web_server, f"OPTIONS {path}", headers=asked)
    assert status == 405
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_probe_is_answered_while_large_bodies_are_read(web_server: RunningServer) -> None:
    row = json.dumps(IMAGE.ravel().tolist(), separators=(",", ":"))[1:-1]
    pixels = ",".join([row] * 200)
    head = '{"inputs":[{"name":"pixels","datatype":"UINT8","shape":[200,1024],"data":['
    body = f"{head}{pixels}]}}]}}".encode()
    assert 700_000 < len(body) < 2**20
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(send, web_server, "POST /v2/models/mlp/infer", body) for _ in range(12)
        ]
        begun = time.monotonic()
        assert send(web_server, "GET /v2/health/live")[0] == 200
        waited = time.monotonic() - begun
        for call in calls:
            status, _, answer = call.result()
            assert status == 200
            assert json.loads(answer)["outputs"][0]["shape"] == [200]
    assert waited < 2


def test_http_2_is_spoken_too(web_server: RunningServer) -> None:
    flags = ["--max-time", "20", "--http2-prior-knowledge", "-w", " %{http_version}"]
    command = ["curl", "-s", *flags, f"http://{web_server.target}/v2/health/live"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout == b'{"live":true} 2'


def test_a_request_without_a_body_does_not_keep_others_waiting(web_server: RunningServer) -> None:
    begun = time.monotonic()
    for _ in range(20):
        assert send(web_server, "GET /v2/models/mlp")[0] == 200
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("kind", [WEB, TEXT, "application/grpc-web"])
def test_grpc_web_gets_a_message_and_its_status(web_server: RunningServer, kind: str) -> None:
    body = frame(REQUEST.SerializeToString())
    if kind == TEXT:
        body = base64.b64encode(body)
    status, headers, got = send(
        web_server, f"POST {CLASSIFY}", body, {"content-type": kind, "x-grpc-web": "1"}
    )
    assert (status, headers["content-type"]) == (200, TEXT if kind == TEXT else WEB)
    (message, trailers) = split(base64.b64decode(got) if kind == TEXT else got)
    answer = pb.ClassifyResponse.FromString(message[1])
    assert (message[0], answer.model.name) == (0, "mlp")
    assert trailers == (0x80, b"grpc-status: 0\r\n")


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (CLASSIFY, frame(b""), b"3", b"image: is empty"),
        (CLASSIFY, b"\0\0", b"3", b"body: has 2 bytes"),
        (CLASSIFY, frame(b"\xff"), b"3", b"is no gurmukhi.v1.ClassifyRequest"),
        ("/gurmukhi.v1.DigitService/Nothing", frame(b""), b"12", b"no such method"),
        (CLASSIFY, frame(b" " * 2**20 + b" "), b"8", b"at most 1048576 are taken"),
    ],
)
def test_grpc_web_gets_errors_as_trailers(
    web_server: RunningServer, path: str, body: bytes, status: bytes, said: bytes
) -> None:
    got, headers, answer = send(web_server, f"POST {path}", body, {"content-type": WEB})
    assert (got, headers["content-type"]) == (200, WEB)
    ((flags, trailers),) = split(answer)
    assert flags == 0x80
    assert trailers.startswith(b"grpc-status: %b\r\n" % status)
    assert said in trailers


def test_grpc_web_gets_what_a_stream_says(web_server: RunningServer) -> None:
    path = "POST /gurmukhi.v1.DigitService/ClassifyStream"
    body = frame(REQUEST.SerializeToString())
    _, _, answer = send(web_server, path, body, {"content-type": WEB})
    message, trailers = split(answer)
    assert pb.ClassifyStreamResponse.FromString(message[1]).response.model.name == "mlp"
    assert trailers == (0x80, b"grpc-status: 0\r\n")


def test_callers_who_leave_leave_nothing_behind(web_server: RunningServer) -> None:
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", web_server.grpc_port, timeout=5)
        connection.putrequest("POST", CLASSIFY)
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "1000")
        connection.endheaders()
        connection.send(b"{")
        connection.close()
    health: Any = send(web_server, "GET /v2/health/ready")
    assert health[0] == 200
    until = time.monotonic() + 10
    while count(web_server, "Classify", "CANCELLED") < 20:
        assert time.monotonic() < until, "a call was not counted"
        time.sleep(0.1)
