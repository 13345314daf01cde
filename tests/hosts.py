"""Several hosts on one machine: network namespaces, each with a cable to one bridge."""

import fcntl
import os
import select
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

# Set apart for tests of networks (RFC 2544), so that nobody's own addresses are hidden by it.
_NETWORK: Final = "198.18.77"
_FAR_NETWORK: Final = "198.18.78"
# linux/if_tun.h
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace, and the end of its cable that is ours."""

    namespace: str
    cable: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What makes a command run on this host."""
        return ("ip", "netns", "exec", self.namespace)

    def cut_off(self) -> None:
        """Pull the cable: nothing arrives any more, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def plug_in(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.cable, "up")


@contextmanager
def network(count: int) -> Iterator[list[Host]]:
    """Hosts that reach one another and are reached from here; needs root on Linux."""
    bridge = f"gk{os.getpid()}"
    with ExitStack() as undo:
        with _permitted():
            _ip("link", "add", bridge, "type", "bridge", "forward_delay", "0")
            undo.callback(_ip, "link", "delete", bridge)
            _ip("address", "add", f"{_NETWORK}.254/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            hosts = []
            for number in range(1, count + 1):
                host = Host(f"{bridge}-{number}", f"{bridge}c{number}", f"{_NETWORK}.{number}")
                _ip("netns", "add", host.namespace)
                undo.callback(_ip, "netns", "delete", host.namespace)
                _connect(host, bridge)
                undo.callback(_ip, "link", "delete", host.cable)
                hosts.append(host)
        yield hosts


@contextmanager
def distant_host(one_way_seconds: float) -> Iterator[Host]:
    """A host to which each packet takes its time, and each answer as much again."""
    name = f"gk{os.getpid()}"
    host = Host(f"{name}-far", f"{name}near", f"{_FAR_NETWORK}.2")
    with ExitStack() as undo:
        with _permitted():
            near, far = _tunnel(undo, host.cable), _tunnel(undo, f"{name}far")
            _ip("netns", "add", host.namespace)
            undo.callback(_ip, "netns", "delete", host.namespace)
            _ip("link", "set", f"{name}far", "netns", host.namespace)
            _ip("address", "add", f"{_FAR_NETWORK}.1/24", "dev", host.cable)
            _ip("link", "set", host.cable, "up")
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", f"{name}far")
            _ip("-n", host.namespace, "link", "set", f"{name}far", "up")
        stopped = threading.Event()
        relay = threading.Thread(target=_relay, args=(near, far, one_way_seconds, stopped))
        relay.start()
        undo.callback(relay.join)
        undo.callback(stopped.set)
        yield host


@contextmanager
def _permitted() -> Iterator[None]:
    """Skip the test where the kernel, or its user, does not let networks be made."""
    try:
        yield
    except FileNotFoundError as error:
        pytest.skip(f"no hosts can be made here: {error.filename} is not there")
    except PermissionError as error:
        pytest.skip(f"no hosts can be made here: {error}")
    except subprocess.CalledProcessError as error:
        if "not permitted" not in error.stderr:
            raise AssertionError(error.stderr) from error
        pytest.skip(f"no hosts can be made here: {error.stderr.strip()}")


def _tunnel(undo: ExitStack, name: str) -> int:
    """A network device whose cable is a file: a packet a read, a packet a write."""
    file = os.open("/dev/net/tun", os.O_RDWR)
    undo.callback(os.close, file)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return file


def _relay(near: int, far: int, one_way_seconds: float, stopped: threading.Event) -> None:
    under_way: deque[tuple[float, int, bytes]] = deque()  # when it is due, where, what
    while not stopped.is_set():
        readable, _, _ = select.select([near, far], [], [], 0.005)
        now = time.monotonic()
        for source in readable:
            sink = far if source == near else near
            under_way.append((now + one_way_seconds, sink, os.read(source, 65536)))
        while under_way and under_way[0][0] <= now:
            _, sink, packet = under_way.popleft()
            os.write(sink, packet)


def _connect(host: Host, bridge: str) -> None:
    peer = ("peer", "name", "eth0", "netns", host.namespace)
    _ip("link", "add", host.cable, "type", "veth", *peer)
    _ip("link", "set", host.cable, "master", bridge, "up")
    _ip("-n", host.namespace, "link", "set", "lo", "up")
    _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", host.namespace, "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
