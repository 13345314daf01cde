"""The attacks on either port, by name; each counts its cases until its time is up."""

from collections.abc import Mapping
from typing import Final

from reliability import call_attacks as calls
from reliability import frame_attacks as raw
from reliability.bursts import Attack

GRPC_ATTACKS: Final[Mapping[str, Attack]] = {
    "garbage": raw.garbage,
    "broken frames": raw.broken_frames,
    "spoiled calls": calls.spoiled_calls,
    "rapid reset": calls.rapid_reset,
    "endless headers": raw.endless_headers,
    "header bomb": raw.header_bomb,
    "floods of control frames": raw.floods,
    "false lengths and compression": calls.false_lengths,
    "control characters": calls.control_characters,
    "half-open calls": calls.half_open_calls,
    "slow senders": raw.slow_senders,
    "1,000 idle connections": raw.idle_connections,
    "unread answers": calls.unread_answers,
    "torn connections": raw.torn_connections,
}
HTTP_ATTACKS: Final[Mapping[str, Attack]] = {
    "garbage over HTTP": raw.http_garbage,
    "1,000 idle connections over HTTP": raw.idle_connections,
    "slow senders over HTTP": raw.slow_senders,
}
