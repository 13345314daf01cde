"""The parameters of a ModelInferRequest that concern the request as a whole.

Triton reserves some names; of those, what these models cannot do is refused, rather than ignored.
Any other name is free for the caller, and has no effect. Source: Triton's "Parameters Extension"
(docs/protocol/extension_parameters.md).

=====================================  ==========================================================
`timeout` (int64, microseconds)        the longest wait in the queue; past it the call is dropped
`priority` (int64 or uint64)           no effect: there is one queue, as in Triton by default
`sequence_id`, `_start`, `_end`        refused where set: the models keep no state
`triton_enable_empty_final_response`   marks each response of a stream as its request's last
`triton_…`, any other                  refused, as Triton does
=====================================  ==========================================================
"""

from typing import Final

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from server.errors import DeadlinePassed, InvalidRequest
from server.service import Call

FINAL_MARK: Final = "triton_final_response"
_ENABLE_FINAL_MARK: Final = "triton_enable_empty_final_response"
_KINDS: Final = {
    "timeout": ("int64_param",),
    "priority": ("int64_param", "uint64_param"),
    "sequence_id": ("int64_param", "string_param"),
    "sequence_start": ("bool_param",),
    "sequence_end": ("bool_param",),
    _ENABLE_FINAL_MARK: ("bool_param",),
}


def obey_parameters(request: pb.ModelInferRequest, call: Call) -> None:
    """Do what a request's parameters say; raises InvalidRequest or DeadlinePassed."""
    for name, parameter in request.parameters.items():
        kinds = _KINDS.get(name)
        if kinds is None:
            if name.startswith("triton_"):
                raise InvalidRequest(
                    f"parameters[{name[:64]}]", "is unknown; names that begin triton_ are Triton's"
                )
            continue
        field = f"parameters[{name}]"
        kind = parameter.WhichOneof("parameter_choice")
        if kind not in kinds:
            raise InvalidRequest(field, f"is no {' or '.join(kinds)}")
        value = getattr(parameter, kind)
        if name.startswith("sequence_") and value:
            raise InvalidRequest(field, "is set, but the models keep no state between requests")
        if name in ("timeout", "priority") and value < 0:
            raise InvalidRequest(field, f"is {value}; expected 0 or more")
        queued = (call.queued_seconds or 0.0) * 1e6
        if name == "timeout" and 0 < value < queued:
            raise DeadlinePassed(f"waited {queued:.0f} µs in the queue; its timeout is {value} µs")


def wants_final_mark(request: pb.ModelInferRequest) -> bool:
    """Whether each response of a stream is to say that it is its request's last one."""
    parameters = request.parameters
    return _ENABLE_FINAL_MARK in parameters and parameters[_ENABLE_FINAL_MARK].bool_param
