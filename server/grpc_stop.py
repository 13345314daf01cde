"""Wait for the end of a server that stops, but not for a call that gRPC's core has forgotten.

A call that comes in the very moment of a stop may be taken in by the core when nobody asks it for
calls any more: no handler ever hears of it, its caller waits for its deadline, and the stop for the
caller. Names of grpcio's that begin with an underscore are used here and in `server.grpc_messages`
alone; constraints.txt pins the version that has them.
"""

import threading
import time
from typing import Any, Final

_LOOK_SECONDS: Final = 0.05
# From the end of the last call that grpcio knows of: its answer has left, and whoever has called
# since the stop began is refused by the core.
_FORGOTTEN_SECONDS: Final = 0.5


def await_stop(server: Any, stopped: threading.Event) -> None:
    """Wait for `stopped`, which `server.stop(grace)` of a grpcio server has returned.

    Where no call is under way and the server has not ended, what is left is cancelled; its caller
    learns that the server is unavailable, and can try another one.
    """
    state = server._state
    last_busy = time.monotonic()
    while not stopped.wait(_LOOK_SECONDS):
        with state.lock:
            is_busy = bool(state.rpc_states)
        if is_busy:
            last_busy = time.monotonic()
        elif time.monotonic() - last_busy > _FORGOTTEN_SECONDS:
            server.stop(None)
            return
