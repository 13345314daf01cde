"""Serve services over gRPC by grpcio's synchronous server: the port, TLS, limits, the drain."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import grpc

from gurmukhi.errors import GurmukhiError
from server.config import ServerConfig
from server.grpc_router import Router
from server.grpc_stop import await_stop
from server.process import Parts
from server.tls import TlsFiles, server_credentials


class PortError(GurmukhiError):
    """The port to serve on cannot be had."""


@dataclass(frozen=True, slots=True)
class FrontConfig:
    """Where to listen, and how much to take in."""

    host: str
    port: int  # 0 is a free one
    shares_port: bool = False  # with the other workers of one server
    max_message_bytes: int = 1 << 20
    compression: bool = False
    max_connection_age_seconds: float = 0.0  # 0 is for ever
    keepalive_seconds: float = 60.0
    tls: TlsFiles | None = None

    @classmethod
    def of(cls, config: ServerConfig, port: int, *, shares_port: bool) -> Self:
        """What a server's flags say of its front."""
        return cls(
            host=config.host,
            port=port,
            shares_port=shares_port,
            max_message_bytes=config.max_message_bytes,
            compression=config.compression,
            max_connection_age_seconds=config.max_connection_age_seconds,
            keepalive_seconds=config.keepalive_seconds,
            tls=config.tls,
        )


class GrpcFront:
    """A gRPC server over services; `port` is the one that it got."""

    def __init__(self, config: FrontConfig, parts: Parts) -> None:
        self._admission = parts.admission
        self._server = grpc.server(parts.admission.control_pool, options=_options(config))
        router = Router(
            parts.services,
            parts.admission,
            parts.metrics,
            tokens=parts.tokens,
            access_log=parts.access_log,
        )
        self._server.add_generic_rpc_handlers((router,))
        self.port = self._bind(config)

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, end those that are idle, wait for the others for the grace at most."""
        stopped = self._server.stop(grace_seconds)
        self._admission.drain()
        await_stop(self._server, stopped)
        self._admission.close()

    def _bind(self, config: FrontConfig) -> int:
        address = join_address(config.host, config.port)
        if not config.shares_port:
            _expect_free(config.host, config.port)
        try:
            if config.tls:
                credentials = server_credentials(config.tls)
                return int(self._server.add_secure_port(address, credentials))
            return int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            raise PortError(f"cannot listen on {address} for gRPC: is it in use?") from error


def _options(config: FrontConfig) -> list[tuple[str, int]]:
    options = [
        # A port that is taken is an error; only the workers of one server share theirs.
        ("grpc.so_reuseport", int(config.shares_port)),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # Calls of one connection at a time. Such as have sent no message yet hold some kilobytes
        # each and wait in no queue of ours: without a bound one caller could open millions.
        ("grpc.max_concurrent_streams", 1024),
        ("grpc.keepalive_time_ms", round(config.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A client may ping as often as every 10 s, idle or not, before it is told to calm down.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ]
    if not config.compression:
        options.append(("grpc.compression_enabled_algorithms_bitset", 1))  # identity alone
    if config.max_connection_age_seconds:
        age = round(config.max_connection_age_seconds * 1000)
        options += [("grpc.max_connection_age_ms", age), ("grpc.max_connection_age_grace_ms", age)]
    return options


def join_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """Hold a port for workers that share it: nobody else can take it, and none answers on it yet.

    Raises PortError where another program has it, even one that would share.
    """
    family, address = _expect_free(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind(address)
        except OSError as error:
            raise _taken(host, port, error) from error
        yield int(held.getsockname()[1])


def _expect_free(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """The family and the address of a port that can be had, a free one for 0; raises PortError.

    gRPC's core says of one that cannot be had neither why, nor on one line.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without SO_REUSEPORT of its own this fails on any other socket there.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return family, (address[0], probe.getsockname()[1], *address[2:])
    except OSError as error:
        raise _taken(host, port, error) from error


def _taken(host: str, port: int, error: OSError) -> PortError:
    return PortError(f"cannot listen on {join_address(host, port)} for gRPC: {error.strerror}")
