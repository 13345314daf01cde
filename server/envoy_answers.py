"""Answer the calls that Envoy hands on, by the kind of their method.

A brief request is answered on the event loop itself; anything that may take long gets a thread of
the pools that the other front has too, and the loop waits for it, for the deadline and for the
caller's going, whichever comes first.
"""

import asyncio
import time
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Self

from server.admission import Admission, CallPool, Room
from server.envoy_calls import EnvoyCall
from server.envoy_sharing import SharedRuns
from server.errors import CallerGone, Overloaded, ServiceError, Unsupported
from server.idle_calls import IdleCalls
from server.routes import DROPPED, Desk
from server.service import encode, ensure_awaited

# A request of so many bytes, some images at most, is parsed and answered on the loop.
_BRIEF_BYTES: Final = 8192
# A message that Envoy has comes to the loop some turns after its call, behind calls without one.
_ON_ITS_WAY_SECONDS: Final = 0.1


class Answers:
    """Answers calls by the pools and the rooms of one server."""

    def __init__(self, admission: Admission, desk: Desk) -> None:
        self._admission = admission
        self._desk = desk
        self._shared = SharedRuns()
        self._open = 0  # calls of one message that are not answered yet
        self._failing: set[asyncio.Future[None]] = set()  # held here, since the loop does not

    async def unary(self, call: EnvoyCall) -> None:
        """Answer a call of one message by one."""
        route, admission = call.route, self._admission
        if route.is_open:  # a question to a table
            message = await self._receive(call, admission.health_pool)
            await call.succeed(encode(route.method.handle(route.parse(message), call)))
        elif not route.method.is_work:
            message = await self._receive(call, admission.control_pool)
            await call.succeed(await self._on_thread(call, message, admission.control_pool))
        else:
            self._open += 1
            try:
                message = await self._receive(call, admission.work_pool)
                await call.succeed(await self._work(call, message))
            finally:
                self._open -= 1

    async def _work(self, call: EnvoyCall, message: bytes) -> bytes:
        route, room = call.route, self._admission.work
        self._enter(room, "queue_full")
        is_handed_on = False
        try:
            if len(message) <= _BRIEF_BYTES:
                request = route.parse(message)
                if route.method.is_brief(request):
                    call.queued_seconds = time.perf_counter() - call.arrived
                    ensure_awaited(call)
                    if route.method.steps and self._open > 1:
                        return await self._shared.answer(route.method, request, call)
                    return encode(route.method.handle(request, call))
            is_handed_on = True
            return await self._on_thread(call, message, self._admission.work_pool, room)
        finally:
            if not is_handed_on:
                room.leave()

    async def stream(self, call: EnvoyCall) -> None:
        """Answer a stream of messages by another, on a thread of its own."""
        room = self._admission.streams
        self._enter(room, "streams_full")
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        messages = _Messages(call, self._admission.idle, loop)

        def run() -> None:
            error: Exception | None = None
            try:
                for reply in call.route.method.handle(map(call.route.parse, messages), call):
                    sending = call.send_message(reply.SerializeToString())
                    asyncio.run_coroutine_threadsafe(sending, loop).result()
            except Exception as fault:  # noqa: BLE001 - turned into a status there
                error = fault
            finally:
                room.leave()
            loop.call_soon_threadsafe(_settle, ended, error)

        self._admission.stream_pool.run(run)
        timer = call.at_deadline(partial(_settle, ended))
        try:
            await ended
        finally:
            timer.cancel()
            messages.end()
        await call.succeed(has_message=False)

    async def watch(self, call: EnvoyCall) -> None:
        """Answer by messages whenever there is news, until the caller goes or the server stops."""
        message = await self._receive(call, self._admission.watch_pool)
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[bytes | Exception] = asyncio.Queue()

        def tell(item: bytes | Exception) -> None:
            loop.call_soon_threadsafe(news.put_nowait, item)

        unsubscribe = call.route.method.subscribe(
            call.route.parse(message), lambda reply: tell(reply.SerializeToString())
        )
        idle, timer = self._admission.idle, call.at_deadline(news.put_nowait)
        idle.add(call, tell)
        call.when_gone(news.put_nowait)
        try:
            while not isinstance(item := await news.get(), Exception):
                await call.send_message(item)
            raise item
        finally:
            timer.cancel()
            idle.discard(call)
            unsubscribe()

    async def _receive(self, call: EnvoyCall, pool: CallPool) -> bytes:
        """The one message of a call; the oldest that waits for its own gives way to many others.

        What waits for a message is never cancelled: pyvoy ends it, with the call. A caller whose
        deadline passes meanwhile goes by itself.
        """
        loop = asyncio.get_running_loop()

        def give_up(error: ServiceError) -> None:
            loop.call_soon_threadsafe(
                loop.call_later, _ON_ITS_WAY_SECONDS, self._give_up, call, error
            )

        pool.arriving.add(call, give_up)
        message, fault = None, None
        try:
            message = await call.next_message()
        except Exception as error:  # noqa: BLE001 - raised below
            fault = error
        pool.arriving.discard(call)
        if not call.is_arriving:
            while not call.is_counted:  # it is given up in one of the next turns of the loop
                await asyncio.sleep(0)
            raise CallerGone("the call was given up")
        call.is_arriving = False
        if isinstance(fault, CallerGone):
            self._desk.count_rejection("deadline" if call.is_late() else "cancelled")
        if fault:
            raise fault
        if message is None:
            raise Unsupported("the call has ended without its message")
        return message

    def _give_up(self, call: EnvoyCall, error: ServiceError) -> None:
        """On the loop: end a call whose message has not come."""
        if not call.is_arriving:
            return
        call.is_arriving = False
        if isinstance(error, Overloaded):
            self._desk.count_rejection("queue_full")
        failing = asyncio.ensure_future(call.fail(error))
        self._failing.add(failing)
        failing.add_done_callback(self._failing.discard)

    async def _on_thread(
        self, call: EnvoyCall, message: bytes, pool: CallPool, room: Room | None = None
    ) -> bytes:
        """Have a thread parse and answer a message, unless the caller goes or its deadline passes.

        Its place in the room ends with the thread's work, whatever becomes of the call.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bytes] = loop.create_future()
        came = time.perf_counter()

        def run() -> None:
            encoded, error = None, None
            try:
                call.queued_seconds = time.perf_counter() - came
                if room:
                    ensure_awaited(call)
                reply = call.route.method.handle(call.route.parse(message), call)
                encoded = encode(reply)
            except Exception as fault:  # noqa: BLE001 - turned into a status there
                error = fault
                if isinstance(fault, ServiceError) and (reason := DROPPED.get(type(fault))):
                    self._desk.count_rejection(reason)
            finally:
                if room:
                    room.leave()
            loop.call_soon_threadsafe(_settle, answered, error, encoded)

        pool.run(run)
        timer = call.at_deadline(partial(_settle, answered))
        call.when_gone(partial(_settle, answered))
        try:
            return await answered
        finally:
            timer.cancel()

    def _enter(self, room: Room, reason: str) -> None:
        try:
            room.enter()
        except Overloaded:
            self._desk.count_rejection(reason)
            raise


class _Messages:
    """The messages of a stream, for the thread that answers it, one after the other.

    Raises NotReady where the server drains while none is there.
    """

    def __init__(self, call: EnvoyCall, idle: IdleCalls, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._idle = idle
        self._loop = loop
        self._inbox: SimpleQueue[bytes | Exception | None] = SimpleQueue()
        self._fetching: asyncio.Task[None] | None = None  # held here, since the loop does not

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        self._idle.add(self, self._inbox.put)
        self._loop.call_soon_threadsafe(self._fetch)
        item = self._inbox.get()
        self._idle.discard(self)
        if isinstance(item, Exception):
            self._inbox.put(item)  # whoever asks again is told again
            raise item
        if item is None:
            raise StopIteration
        return item

    def end(self) -> None:
        """On the loop: the call is over, and no message comes any more."""
        self._inbox.put(CallerGone("the call is over"))

    def _fetch(self) -> None:
        async def fetch() -> None:
            item: bytes | Exception | None
            try:
                item = await self._call.next_message()
            except Exception as error:  # noqa: BLE001 - raised again on the thread
                item = error
            self._inbox.put(item)

        self._fetching = self._loop.create_task(fetch())


def _settle(future: "asyncio.Future[Any]", error: Exception | None, result: object = None) -> None:
    """On the loop: a thread is done; nobody may wait for it any more."""
    if future.done():
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(result)
