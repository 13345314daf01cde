"""Receive the messages of calls, without a thread of ours that waits inside grpcio.

grpcio has the thread of a call wait for its message, and nothing but the caller can end that. So
its message is asked for here. Names of grpcio's that begin with an underscore are used here and in
`server.grpc_stop` alone; constraints.txt pins the version that has them.
"""

import logging
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, NoReturn, Self

import grpc
from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # it has no annotations

from server.errors import ServiceError
from server.idle_calls import IdleCalls
from server.steps import Run, Steps

_log = logging.getLogger(__name__)


def receive(call: Any, state: Any, on_message: Callable[[bytes | None], None]) -> None:
    """Ask for a call's next message; `on_message` gets it on grpcio's serving thread.

    It gets None where there is none: the caller has sent the last one, or the call is over.
    """

    def received(batch: Any) -> Any:
        # As grpcio's own does, less what it does for a thread that waits.
        message = _server._serialized_request(batch)
        with state.condition:
            if message is None and state.client is _server._OPEN:
                state.client = _server._CLOSED
            is_over = not _server._is_rpc_state_active(state)
            finished = _server._possibly_finish_call(state, _server._RECEIVE_MESSAGE_TOKEN)
        on_message(None if is_over else message)
        return finished

    with state.condition:
        if _server._is_rpc_state_active(state):
            call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), received)
            state.due.add(_server._RECEIVE_MESSAGE_TOKEN)
            return
    on_message(None)


class Answer:
    """A unary call whose message has come, on its way through the steps to its answer.

    As grpcio does it, less what no handler here looks at: its context variables, its serializers.
    `end` is called with grpcio's event when it is over.
    """

    __slots__ = ("_end", "_event", "_message", "_state", "_steps", "run")

    def __init__(
        self,
        event: Any,
        state: Any,
        message: bytes,
        start: Callable[[bytes, grpc.ServicerContext], Steps[bytes]],
        end: Callable[[Any], None],
    ) -> None:
        self._event = event
        self._state = state
        self._message = message
        self._steps = start(message, _server._Context(event, state, None))
        self._end = end
        self.run: Run | None = None

    def go_on(self) -> bool:
        """Go on to the next step, whose run is there then; False where that was the last."""
        try:
            self.run = next(self._steps)
        except StopIteration as last:
            _send(_server._status, self._event, self._state, last.value)
        except Exception as error:  # noqa: BLE001 - grpcio makes the status of it
            handler = partial(_raise, error)
            _send(_server._call_behavior, self._event, self._state, handler, self._message, None)
        else:
            return True
        self._end(self._event)
        return False


def _send(send: Callable[..., Any], *args: Any) -> None:
    try:
        send(*args)
    except Exception:  # noqa: BLE001 - the others of a run get their answers
        _log.exception("an answer could not be sent")


def _raise(error: Exception, *_: object) -> NoReturn:
    raise error


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
