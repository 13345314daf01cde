"""A server that is far away is reached: a connection may take longer than the pause between two."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from wrong_servers import RightServer, serving, the_split

from evaluator.target import Target
from gurmukhi.client import DigitClient

ONE_WAY_SECONDS = 0.25


@contextmanager
def far_away(target: str) -> Iterator[str]:
    """The address of a relay to a server, whose bytes travel for a while in either direction."""
    host, _, port = target.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                far = socket.create_connection((host, int(port)))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=(source, sink), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with source, sink:
        try:
            while data := source.recv(1 << 16):
                time.sleep(ONE_WAY_SECONDS)
                sink.sendall(data)
        except OSError:
            return


def test_evaluator_reaches_it_at_the_first_attempt() -> None:
    with (
        serving(RightServer()) as near,
        far_away(near) as address,
        closing(Target(address, 5.0)) as target,
    ):
        assert target.is_live()
        assert target.list_models()
        assert (target.calls.sent, target.calls.retried) == (2, 0)


def test_client_reaches_it() -> None:
    with (
        serving(RightServer()) as near,
        far_away(near) as address,
        DigitClient(address, retries=False) as client,
    ):
        assert client.classify(the_split().images[0]).scores
