"""How the clients reach servers: every address used in turn, asked for its health, tried again.

Sources: gRPC's service config (grpc/doc/service_config.md), client-side health checking (gRFC A17)
and retries (gRFC A6).
"""

import json
import re
from collections.abc import Sequence
from typing import Final

import grpc

# A server that stops ends calls that arrive late with CANCELLED, on connections still open, and
# refuses new ones with UNAVAILABLE. Classifying twice does no harm, so both are tried again.
_RETRIED: Final = ("UNAVAILABLE", "CANCELLED")
_SERVICE_CONFIG: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "gurmukhi.v1.DigitService"},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,  # gRPC allows no more
                "initialBackoff": "0.02s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": list(_RETRIED),
            },
        }
    ],
}

CONNECT_MILLISECONDS: Final = 2_000
# What gRPC says of a failed handshake, and what it means.
_HANDSHAKES: Final = (
    (
        re.compile(r"CERTIFICATE_VERIFY_FAILED: (?P<why>[\w ]+)"),
        "the server's certificate is not trusted ({why}): it is signed by another CA, or out of "
        "date",
    ),
    (
        re.compile("Hostname Verification Check failed"),
        "the server's certificate is of another name than the one that is dialled",
    ),
    (re.compile("WRONG_VERSION_NUMBER"), "the server speaks no TLS"),
    (
        # An alert after the handshake, as TLS 1.3 has it: gRPC takes it for damage.
        re.compile("TSI_DATA_CORRUPTED"),
        "the server breaks off: it may want a certificate that it trusts",
    ),
    (
        re.compile("last error: .*Socket closed"),
        "the server closes the connection: it may want TLS, or a certificate that it trusts",
    ),
)


def channel_options(*, retries: bool = True, server_name: str = "") -> list[tuple[str, int | str]]:
    """Options of a channel: round robin over all addresses, health-checked, with retries or not.

    A server that comes back is connected to within 100 ms. `server_name` is the name to expect in
    its certificate; "" is the one in the target.
    """
    config = dict(_SERVICE_CONFIG)
    if not retries:
        del config["methodConfig"]
    return [
        *name_options(server_name),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", int(retries)),
        # A server that was cut off acknowledges nothing: its connection ends after this time-out,
        # so that a call is tried on another server well within its deadline. It holds for pings
        # too, which are rarer than once in five minutes, since any gRPC server allows that.
        ("grpc.keepalive_time_ms", 310_000),
        ("grpc.keepalive_timeout_ms", 2_000),
        ("grpc.initial_reconnect_backoff_ms", 50),
        # This bounds an attempt too: several round trips, to a server far away.
        ("grpc.min_reconnect_backoff_ms", CONNECT_MILLISECONDS),
        ("grpc.max_reconnect_backoff_ms", 100),
    ]


def dial(
    target: str,
    credentials: grpc.ChannelCredentials | None,
    options: Sequence[tuple[str, int | str]],
) -> grpc.Channel:
    """A channel over TLS with credentials, else over plain text."""
    if credentials:
        return grpc.secure_channel(target, credentials, options)
    return grpc.insecure_channel(target, options)


def name_options(server_name: str) -> list[tuple[str, int | str]]:
    """The option of a channel to a server whose certificate has another name than its address."""
    return [("grpc.ssl_target_name_override", server_name)] if server_name else []


def token_metadata(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call that carries a bearer token; none for ""."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def explain(details: str) -> str:
    """What gRPC says of a failed call, in plain words where the handshake was what failed."""
    for pattern, meaning in _HANDSHAKES:
        if found := pattern.search(details):
            return meaning.format(**found.groupdict())
    return details
