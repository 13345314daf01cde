"""A stand-in for the front that serves the page: JSON over HTTP to a server's gRPC."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf import json_format

from gurmukhi.v1 import digits_pb2 as pb
from gurmukhi.v1.digits_pb2_grpc import DigitServiceStub
from server.page import load_page

_HTTP = {"UNAUTHENTICATED": 401, "NOT_FOUND": 404, "UNAVAILABLE": 503, "RESOURCE_EXHAUSTED": 429}


@contextmanager
def relaying(target: str, port: int = 0) -> Iterator[str]:
    """Serve the page and the JSON calls of the server at `target`; give the URL."""
    page = load_page()
    with grpc.insecure_channel(target) as channel:
        stub = DigitServiceStub(channel)
        methods = {
            "Classify": (pb.ClassifyRequest, stub.Classify),
            "ListModels": (pb.ListModelsRequest, stub.ListModels),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, page.body, page.headers)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kind, method = methods[self.path.rpartition("/")[2]]
                token = self.headers.get("Authorization")
                metadata = [("authorization", token)] if token else []
                try:
                    request = json_format.Parse(body, kind())
                    reply = method(request, timeout=5, metadata=metadata)
                    status, text = 200, json_format.MessageToJson(reply)
                except grpc.RpcError as error:
                    code = error.code().name
                    status = _HTTP.get(code, 400)
                    text = json.dumps({"code": code.lower(), "message": error.details()})
                self._answer(status, text.encode(), (("content-type", "application/json"),))

            def _answer(
                self, status: int, body: bytes, headers: tuple[tuple[str, str], ...]
            ) -> None:
                with suppress(ConnectionError):  # the page drops what it needs no more
                    self._write(status, body, headers)

            def _write(
                self, status: int, body: bytes, headers: tuple[tuple[str, str], ...]
            ) -> None:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            server.server_close()
