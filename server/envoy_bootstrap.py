"""Envoy's configuration: one listener whose requests end in our application.

Source: Envoy's API reference, envoy.config.bootstrap.v3 and HttpConnectionManager, and the filter
of pyvoy that loads Python. Nothing of it comes from a client.
"""

import importlib.util
import json
import socket
from pathlib import Path
from typing import Any, Final

from gurmukhi.errors import GurmukhiError
from server.config import ServerConfig
from server.envoy_secrets import Secrets

NEEDS_EXTRA: Final = "--front envoy needs the extra `envoy` of this package (pyvoy)"
APPLICATION: Final = "server.envoy_worker:app"
# When a request came, in seconds since 1970: Python may come to it later.
ARRIVAL_HEADER: Final = b"x-gurmukhi-arrival"
# Calls of one connection at a time, as in the other front.
_MOST_STREAMS: Final = 1024
# Of a worker; each may hold some of a megabyte on its way.
_MOST_CONNECTIONS: Final = 20_000
# How much of a message may be on its way before it is read; a batch of 1,000 images has 1 MiB.
_STREAM_WINDOW: Final = 1 << 20
_CONNECTION_WINDOW: Final = 4 << 20
# Headers that come a byte now and then hold a stream for so long.
_HEADERS_SECONDS: Final = 10
_KEEPALIVE_TIMEOUT_SECONDS: Final = 20

_HTTP_MANAGER: Final = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager"
)
_MODULE: Final = (
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
)
_HEADER_MUTATION: Final = (
    "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
)
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_CONNECTION_LIMIT: Final = (
    "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3."
    "DownstreamConnectionsConfig"
)
_STRING: Final = "type.googleapis.com/google.protobuf.StringValue"


# Envoy's allocator is the whole process's, and by itself gives nothing back to the system: it kept
# a gigabyte of some large pictures. So much of what is free goes back, so often.
_RELEASED_BYTES: Final = 256 << 20
_RELEASE_SECONDS: Final = 1


class EnvoyMissing(GurmukhiError):  # noqa: N818 - says what is missing
    """The front's packages are not installed, or lack what they need."""


def bootstrap(
    config: ServerConfig,
    port: int,
    admin: Path,
    secrets: Secrets | None,
    *,
    application: str = APPLICATION,
) -> dict[str, Any]:
    """The configuration of one worker; `admin` is a socket that its own user alone can reach.

    `application` is what answers, as module:name.
    """
    chain: dict[str, Any] = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": _manager(config, application),
            }
        ]
    }
    if secrets:
        chain["transport_socket"] = _tls(secrets)
    address: dict[str, Any] = {"address": _numeric(config.host), "port_value": port}
    if address["address"] == "::":
        address["ipv4_compat"] = True  # as every other server takes it
    return {
        "node": {"id": "gurmukhi-serve", "cluster": "gurmukhi-serve"},  # secrets ask for one
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "digits",
                    "address": {"socket_address": address},
                    "filter_chains": [chain],
                    "enable_reuse_port": True,
                    "per_connection_buffer_limit_bytes": _STREAM_WINDOW,
                }
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": _CONNECTION_LIMIT,
                        "max_active_downstream_connections": _MOST_CONNECTIONS,
                    },
                }
            ]
        },
        "memory_allocator_manager": {
            "bytes_to_release": _RELEASED_BYTES,
            "memory_release_interval": f"{_RELEASE_SECONDS}s",
        },
        # Our own metrics say what happens; Envoy's cost time and memory for each connection.
        "stats_config": {"stats_matcher": {"reject_all": True}},
    }


def _numeric(host: str) -> str:
    """The address of a host; Envoy takes no names here."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return str(found[0][4][0])


def _manager(config: ServerConfig, application: str) -> dict[str, Any]:
    connection: dict[str, Any] = {"idle_timeout": "0s", "max_stream_duration": "0s"}
    if config.max_connection_age_seconds:
        connection["max_connection_duration"] = f"{config.max_connection_age_seconds:.3f}s"
    return {
        "@type": _HTTP_MANAGER,
        "stat_prefix": "digits",
        "codec_type": "AUTO",
        "server_name": "gurmukhi-serve",
        "generate_request_id": False,
        "request_headers_timeout": f"{_HEADERS_SECONDS}s",
        "stream_idle_timeout": "0s",  # a watcher of health may hear nothing for days
        "common_http_protocol_options": connection,
        "http2_protocol_options": {
            "max_concurrent_streams": _MOST_STREAMS,
            "initial_stream_window_size": _STREAM_WINDOW,
            "initial_connection_window_size": _CONNECTION_WINDOW,
            "connection_keepalive": {
                "interval": f"{config.keepalive_seconds:.3f}s",
                "timeout": f"{_KEEPALIVE_TIMEOUT_SECONDS}s",
                "connection_idle_interval": f"{config.keepalive_seconds:.3f}s",
            },
        },
        "route_config": {"virtual_hosts": [{"name": "digits", "domains": ["*"]}]},
        "http_filters": [
            {"name": "envoy.filters.http.header_mutation", "typed_config": _arrival()},
            {
                "name": "pyvoy",
                "typed_config": {
                    "@type": _MODULE,
                    "dynamic_module_config": {"module": {"local": {"filename": _module_path()}}},
                    "filter_name": "pyvoy",
                    "terminal_filter": True,
                    "filter_config": {
                        "@type": _STRING,
                        "value": json.dumps(
                            {
                                "app": application,
                                "interface": "asgi",
                                "root_path": "",
                                "lifespan": True,
                                "worker_threads": 1,  # the interpreter's lock is one
                            }
                        ),
                    },
                },
            },
        ],
    }


def _arrival() -> dict[str, Any]:
    """Has Envoy say when a request came, whatever its caller says of that."""
    header = {"key": ARRIVAL_HEADER.decode(), "value": "%START_TIME(%s.%6f)%"}
    stamp = {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    return {"@type": _HEADER_MUTATION, "mutations": {"request_mutations": [stamp]}}


def _tls(secrets: Secrets) -> dict[str, Any]:
    common: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_secret(secrets.certificate)],
    }
    if secrets.client_ca:
        common["validation_context_sds_secret_config"] = _secret(secrets.client_ca)
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TLS,
            "common_tls_context": common,
            "require_client_certificate": secrets.client_ca is not None,
        },
    }


def _secret(path: Path) -> dict[str, Any]:
    """A secret in a file that Envoy reads again when another takes its place."""
    return {"name": path.stem, "sds_config": {"path_config_source": {"path": str(path)}}}


def _module_path() -> str:
    found = importlib.util.find_spec("pyvoy._pyvoy")
    if found is None or found.origin is None:
        raise EnvoyMissing(NEEDS_EXTRA)
    return found.origin
