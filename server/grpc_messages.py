"""Receive the messages of calls, without a thread of ours that waits inside grpcio.

grpcio has the thread of a call wait for its message, and nothing but the caller can end that. So
its message is asked for here. Names of grpcio's that begin with an underscore are used in this
module alone; constraints.txt pins the version that has them.
"""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Self

from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # it has no annotations

from server.errors import ServiceError
from server.idle_calls import IdleCalls


def receive(call: Any, state: Any, on_message: Callable[[bytes | None], None]) -> None:
    """Ask for a call's next message; `on_message` gets it on grpcio's serving thread.

    It gets None where there is none: the caller has sent the last one, or the call is over.
    """

    def received(batch: Any) -> Any:
        finished = keep_account(batch)
        with state.condition:
            message, state.request = state.request, None
            is_over = not _server._is_rpc_state_active(state)
        on_message(None if is_over else message)
        return finished

    keep_account = _server._receive_message(state, call, None)
    with state.condition:
        if _server._is_rpc_state_active(state):
            call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), received)
            state.due.add(_server._RECEIVE_MESSAGE_TOKEN)
            return
    on_message(None)


class Messages:
    """The messages of a stream, one after the other.

    Raises NotReady where the server drains, unless a message is there already.
    """

    def __init__(self, requests: Any, idle: IdleCalls) -> None:
        self._call, self._state = requests._call, requests._state  # grpcio's own iterator
        self._idle = idle
        self._inbox: SimpleQueue[bytes | ServiceError | None] = SimpleQueue()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        self._idle.add(self, self._inbox.put)
        receive(self._call, self._state, self._inbox.put)
        message = self._inbox.get()
        self._idle.discard(self)
        if isinstance(message, ServiceError):
            raise message
        if message is None:
            raise StopIteration
        return message
