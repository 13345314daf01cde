"""Metrics and probes over plain HTTP, on a port of their own."""

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from server.grpc_front import PortError, join_address

# A probe or a scrape takes milliseconds; a client that sends a byte now and then holds a thread.
_CONNECTION_SECONDS: Final = 10.0
_TEXT: Final = "text/plain; charset=utf-8"

_log = logging.getLogger(__name__)


class HttpServer:
    """`/metrics`, `/livez` and `/readyz`, served from a thread."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, is_ready: Callable[[], bool]
    ) -> None:
        class Handler(_Handler):
            pages = {  # noqa: RUF012 - one class a server, and never changed
                "/metrics": lambda accept: _metrics(registry, accept),
                "/livez": lambda accept: (HTTPStatus.OK, _TEXT, b"live\n"),
                "/readyz": lambda accept: _readiness(is_ready()),
            }

        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._server = _Server(family, (host, port), Handler)
        except OSError as error:
            where = join_address(host, port)
            raise PortError(f"cannot listen on {where} for HTTP: {error.strerror}") from error
        self._thread: threading.Thread | None = None
        self.port = int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        if self._thread:  # else it would wait for one
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """A thread for each connection, and each connection for a while alone."""

    daemon_threads = True
    request_queue_size = 128  # past the library's 5, a burst of callers waits a second to connect

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
    ) -> None:
        self.address_family = family
        self._since: dict[Any, float] = {}  # connection -> when it came
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that have lasted too long; called twice a second."""
        for request, since in list(self._since.items()):
            if time.monotonic() - since > _CONNECTION_SECONDS:
                with suppress(OSError):  # it has just ended
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a fault of ours; the library would print a trace of each caller who breaks off."""
        if not isinstance(sys.exception(), ConnectionError):
            _log.exception("a page could not be made")


Page = tuple[HTTPStatus, str, bytes]


class _Handler(BaseHTTPRequestHandler):
    pages: dict[str, Callable[[str], Page]]

    def do_GET(self) -> None:  # http.server finds it by this name
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            status, kind, body = HTTPStatus.NOT_FOUND, _TEXT, b"try /metrics, /livez or /readyz\n"
        else:
            status, kind, body = page(self.headers.get("Accept", ""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Log nothing: probes and scrapes come every few seconds."""


def _metrics(registry: CollectorRegistry, accept: str) -> Page:
    encode, kind = choose_encoder(accept)
    return HTTPStatus.OK, kind, encode(registry)


def _readiness(ready: bool) -> Page:
    if ready:
        return HTTPStatus.OK, _TEXT, b"ready\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not ready\n"
