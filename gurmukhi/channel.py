"""How the clients reach servers: every address used in turn, asked for its health, tried again.

Sources: gRPC's service config (grpc/doc/service_config.md), client-side health checking (gRFC A17)
and retries (gRFC A6).
"""

import json
from typing import Final

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


def channel_options(*, retries: bool = True) -> list[tuple[str, int | str]]:
    """Options of a channel: round robin over all addresses, health-checked, with retries or not.

    A server that comes back is connected to within 100 ms.
    """
    config = dict(_SERVICE_CONFIG)
    if not retries:
        del config["methodConfig"]
    return [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", int(retries)),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 100),
    ]
