"""A network that delays, loses and cuts, and a server that runs out of what it needs."""

import resource
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from gurmukhi.client import DigitClient
from gurmukhi.errors import CallError
from gurmukhi.synthetic import synthetic_digits
from reliability.crashes import calling
from reliability.figures import Figure
from reliability.relay import lossy, may_lose_packets, relaying
from reliability.service import serving, wait_until

TRIAL: Final = "network and limits"
_IMAGES, _ = synthetic_digits(200, 96)
_DELAY_SECONDS: Final = 0.1  # each way
_FEW_DESCRIPTORS: Final = 96


def try_network(models: Path, seconds: float) -> Iterator[Figure]:
    """Delay, cut and loss; then too few descriptors, and too little memory."""
    yield from _delay(models)
    yield from _cut(models, seconds)
    yield from _loss(models, seconds)
    yield from _descriptors(models)
    yield from _memory(models)


def _delay(models: Path) -> Iterator[Figure]:
    what = "200 ms delay"
    with (
        serving(models) as service,
        relaying(service.port, _DELAY_SECONDS) as relay,
        calling(f"127.0.0.1:{relay.port}") as callers,
    ):
        callers.wait_for_answers(40, what)
    yield from callers.figures(TRIAL, what)
    lost = sum(callers.codes.values()) - callers.answered
    yield Figure.exactly(TRIAL, f"{what}: calls without an answer", lost, 0)


def _cut(models: Path, seconds: float) -> Iterator[Figure]:
    """Cut the network during a stream: what came before is right, and the caller is told."""
    what = "network cut during streams"
    wrong = told = whole = 0
    with serving(models) as service, relaying(service.port) as relay:
        with DigitClient(service.target) as direct:
            expected = list(direct.classify_stream(_IMAGES))
        threads = service.threads()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with DigitClient(f"127.0.0.1:{relay.port}", retries=False) as client:
                answers = []
                try:
                    for answer in client.classify_stream(_IMAGES):
                        answers.append(answer)
                        if len(answers) == 50:
                            relay.cut()
                    whole += 1
                except CallError:
                    told += 1
                wrong += answers != expected[: len(answers)]
        left = wait_until(
            lambda: service.metrics()["gurmukhi_inflight_requests"] == 0, 30, "an end of streams"
        )
        more = service.threads() - threads
    yield Figure.exactly(TRIAL, f"{what}: wrong answers of {told + whole} streams", wrong, 0)
    yield Figure.at_least(TRIAL, f"{what}: callers who were told", told, 1)
    yield Figure.at_most(TRIAL, f"{what}: the server let go after", left, 10, " s")
    yield Figure.at_most(TRIAL, f"{what}: threads that stay", more, 5)


def _loss(models: Path, seconds: float) -> Iterator[Figure]:
    """Run this module's own callers in a namespace whose loopback loses 1 % of packets."""
    what = "1 % loss"
    if not may_lose_packets():
        yield Figure(TRIAL, what, "not tried: needs root and nftables", "", holds=True)
        return
    command = [sys.executable, "-m", "reliability.network", str(models), str(seconds)]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", lossy(shlex.join(command))],
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=True,
    )
    answered, lost, wrong = map(int, done.stdout.split()[-3:])
    yield Figure.at_least(TRIAL, f"{what}: answers", answered, 100)
    yield Figure.exactly(TRIAL, f"{what}: calls without an answer", lost, 0)
    yield Figure.exactly(TRIAL, f"{what}: wrong answers", wrong, 0)


def _descriptors(models: Path) -> Iterator[Figure]:
    """Take all descriptors that a server may have; who is connected is served on."""
    what = f"{_FEW_DESCRIPTORS} descriptors and 300 connections"
    prefix = ("prlimit", f"--nofile={_FEW_DESCRIPTORS}")
    with (
        serving(models, prefix=prefix) as service,
        calling(service.target, timeout_seconds=10.0) as callers,
    ):
        with ExitStack() as held:
            for _ in range(300):
                with suppress(OSError):
                    address = (service.host, service.port)
                    held.enter_context(socket.create_connection(address, timeout=0.2))
            callers.wait_for_answers(50, what)
        seconds = wait_until(lambda: _answers(service.target), 60, "a new connection")
    yield from callers.figures(TRIAL, what)
    lost = sum(callers.codes.values()) - callers.answered
    yield Figure.exactly(TRIAL, f"{what}: calls without an answer", lost, 0)
    yield Figure.at_most(TRIAL, f"{what}: new callers are let in after", seconds, 10, " s")


def _answers(target: str) -> bool:
    try:
        with DigitClient(target, timeout_seconds=2.0, retries=False) as client:
            client.classify(_IMAGES[0])
    except CallError:
        return False
    return True


def _memory(models: Path) -> Iterator[Figure]:
    """Leave a worker hardly more memory than it has, and send what needs more.

    It may end of it, as it would at a container's limit: then another takes its place.
    """
    what = "memory limit of a worker"
    wrong = 0
    with serving(models, "--workers", "2") as service:
        for pid in service.workers():
            used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * 4096
            limit = used + (16 << 20), resource.RLIM_INFINITY
            resource.prlimit(pid, resource.RLIMIT_AS, limit)
        with DigitClient(service.target, timeout_seconds=20.0) as client:
            expected = [client.classify(image) for image in _IMAGES[:10]]
            for count in (10, 200, 1000) * 3:
                batch = [_IMAGES[index % 10] for index in range(count)]
                with suppress(CallError):
                    answers = client.classify_batch(batch, model=expected[0].model.name)
                    wrong += [one.digit for one in answers] != [
                        expected[index % 10].digit for index in range(count)
                    ]
        seconds = wait_until(lambda: _answers(service.target), 60, "an answer")
        alive = service.is_running()
        died = service.log.count("died with exit code")
    yield Figure.exactly(TRIAL, f"{what} ({died} died of it): wrong answers", wrong, 0)
    yield Figure.exactly(TRIAL, f"{what}: the server still runs", alive, expected=True)
    yield Figure.at_most(TRIAL, f"{what}: it answers again after", seconds, 30, " s")


def _call_here(models: Path, seconds: float) -> None:
    with serving(models) as service, calling(service.target, timeout_seconds=20.0) as callers:
        time.sleep(seconds)
    lost = sum(callers.codes.values()) - callers.answered
    print(callers.answered, lost, callers.wrong)  # noqa: T201


if __name__ == "__main__":
    _call_here(Path(sys.argv[1]), float(sys.argv[2]))
