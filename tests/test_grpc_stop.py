"""A stop waits for calls under way, and not for one that gRPC's core has forgotten."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc import _server

from server.grpc_stop import await_stop


class Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs alone
    """Answers each call after some seconds."""

    def __init__(self, seconds: float) -> None:
        self.begun = threading.Event()
        self._seconds = seconds

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.begun.set()
        time.sleep(self._seconds)
        return request


def serve(echo: Echo) -> tuple[grpc.Server, str]:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[echo])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def method(channel: grpc.Channel) -> Any:
    return channel.unary_unary("/x/y", lambda message: message, lambda message: message)


def seconds_to_stop(server: grpc.Server) -> float:
    began = time.monotonic()
    await_stop(server, server.stop(60))
    return time.monotonic() - began


def test_a_call_that_the_core_has_forgotten_holds_up_no_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, came = [], threading.Event()

    def forget(event: Any, *_: Any) -> tuple[None, None]:
        kept.append(event)  # else the call would end with it
        came.set()
        return None, None

    monkeypatch.setattr(_server, "_handle_call", forget)
    server, target = serve(Echo(0))
    with grpc.insecure_channel(target, [("grpc.enable_retries", 0)]) as channel:
        call = method(channel).future(b"", timeout=60)
        assert came.wait(20)
        assert seconds_to_stop(server) < 20
        assert call.exception(timeout=20) is not None
        assert call.code() is grpc.StatusCode.UNAVAILABLE


def test_a_call_under_way_is_waited_for() -> None:
    echo = Echo(1.5)  # longer than what is forgotten is waited for
    server, target = serve(echo)
    with grpc.insecure_channel(target) as channel:
        call = method(channel).future(b"answer", timeout=60)
        assert echo.begun.wait(20)
        assert seconds_to_stop(server) > 0.5
        assert call.result(timeout=20) == b"answer"


def test_a_server_without_calls_stops_at_once() -> None:
    server, target = serve(Echo(0))
    with grpc.insecure_channel(target) as channel:
        assert method(channel)(b"", timeout=20) == b""
        assert seconds_to_stop(server) < 20
