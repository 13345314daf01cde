"""A bad network between a caller and a server: it delays, loses or cuts what passes."""

import asyncio
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Self

_LOSS: Final = "add rule inet trial in numgen random mod 100 == 0 drop"


class Relay:
    """Passes bytes on to a port, each part later by a delay; `cut` ends all connections."""

    def __init__(self, port: int, delay_seconds: float) -> None:
        self._target = port
        self._delay = delay_seconds
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.get_running_loop()
        self.port = 0

    @classmethod
    async def start(cls, port: int, delay_seconds: float) -> Self:
        """Listen on a free port."""
        relay = cls(port, delay_seconds)
        server = await asyncio.start_server(relay._accept, "127.0.0.1", 0)
        relay.port = server.sockets[0].getsockname()[1]
        return relay

    def cut(self) -> None:
        """End every connection at once; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, there_writer}
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(
                self._pass_on(reader, there_writer), self._pass_on(there_reader, writer)
            )
        self._writers -= {writer, there_writer}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            loop.call_later(self._delay, writer.write, data)
        loop.call_later(self._delay, writer.close)


@contextmanager
def relaying(port: int, delay_seconds: float = 0.0) -> Iterator[Relay]:
    """Run a relay to a port in a thread."""
    ready: queue.Queue[tuple[Relay, asyncio.Event]] = queue.Queue()

    async def relay_until_stopped() -> None:
        stopped = asyncio.Event()
        ready.put((await Relay.start(port, delay_seconds), stopped))
        await stopped.wait()

    thread = threading.Thread(target=asyncio.run, args=(relay_until_stopped(),), daemon=True)
    thread.start()
    relay, stopped = ready.get(timeout=10)
    try:
        yield relay
    finally:
        relay._loop.call_soon_threadsafe(stopped.set)
        thread.join()


def may_lose_packets() -> bool:
    """Whether packets can be dropped here: root, in a namespace of its own, with nftables."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("nft", "ip", "unshare"))):
        return False
    tried = ["unshare", "--net", "sh", "-c", lossy("true")]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def lossy(command: str) -> str:
    """A shell's words that run a command where 1 % of packets is lost; for `unshare --net`."""
    table = "add table inet trial"
    chain = "add chain inet trial in { type filter hook input priority 0; }"
    rules = " && ".join(f"nft '{rule}'" for rule in (table, chain, _LOSS))
    return f"ip link set lo up && {rules} && exec {command}"
