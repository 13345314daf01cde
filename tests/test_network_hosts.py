"""Three servers on three hosts: one dies, one is cut off, one is drained, and no call is lost."""

import json
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Final

import pytest
from conftest import RunningServer, serving
from hosts import Host, distant_host, network
from test_server_load import Callers

from evaluator.__main__ import main
from gurmukhi.bundle import Golden, read_bundle
from gurmukhi.client import DigitClient
from gurmukhi.errors import CallError

pytestmark = pytest.mark.slow  # starts three servers for each test

_PORT: Final = 8001
_HTTP_PORT: Final = 8002
_MODEL: Final = "svm-rbf"
_FLAGS: Final = (
    *("--host", "0.0.0.0"),  # noqa: S104 - of its own network alone
    *("--port", str(_PORT), "--metrics-port", str(_HTTP_PORT)),
)
_SECONDS: Final = 6.0  # of calls after a loss: more than a call's deadline


@dataclass(frozen=True, slots=True)
class Replica:
    """A server on a host of its own."""

    host: Host
    server: RunningServer

    @property
    def address(self) -> str:
        return f"{self.host.address}:{_PORT}"

    def answered(self) -> int:
        """How many images it has classified, by its own count."""
        url = f"http://{self.host.address}:{_HTTP_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return sum(
            int(float(line.rpartition(" ")[2]))
            for line in lines
            if line.startswith("gurmukhi_predictions_total{")
        )

    def kill(self) -> None:
        self.server.process.kill()

    def cut_off(self) -> None:
        self.host.cut_off()

    def drain(self) -> None:
        self.server.process.send_signal(signal.SIGTERM)


@pytest.fixture
def replicas(models: Path) -> Iterator[list[Replica]]:
    """Three servers of the same models, each on its host."""
    with network(3) as hosts, ExitStack() as servers:
        yield [
            Replica(host, servers.enter_context(serving(models, *_FLAGS, prefix=host.prefix)))
            for host in hosts
        ]


@contextmanager
def calling(replicas: list[Replica], golden: Golden, *, retries: bool) -> Iterator[Callers]:
    """Callers who hold each answer against the native model's, by a client of all replicas."""
    target = f"ipv4:{','.join(replica.address for replica in replicas)}"
    numbers = count()
    with DigitClient(target, retries=retries) as client:

        def call() -> str:
            index = next(numbers) % len(golden.digits)
            try:
                answer = client.classify(golden.images[index], model=_MODEL)
            except CallError as error:
                return error.code.name
            return "right" if answer.digit == golden.digits[index] else "wrong"

        callers = Callers(3, call)
        try:
            yield callers
        finally:
            callers.stop()


def wait_for_answers(replicas: list[Replica]) -> None:
    """Wait until each of the replicas has answered more than it has now."""
    before = [replica.answered() for replica in replicas]
    until = time.monotonic() + 60
    for replica, already in zip(replicas, before, strict=True):
        while replica.answered() < already + 50:
            assert time.monotonic() < until, f"{replica.address} gets no calls"
            time.sleep(0.05)


def evaluate(
    replicas: list[Replica], models: Path, report: Path, *flags: str
) -> tuple[int, set[str]]:
    """The exit code, and which addresses are named by what failed."""
    target = ",".join(replica.address for replica in replicas)
    flags = ("--model", _MODEL, "--only", "labels,replicas,metrics", "-q", *flags)
    given = ["--target", target, "--models", str(models), "--data", "synthetic"]
    given += ["--metrics", f"http://{{host}}:{_HTTP_PORT}/metrics"]
    code = main([*given, "--report", str(report), *flags])
    record = json.loads((report / "report.json").read_text(encoding="utf-8"))
    failed = [one["sentence"] for one in record["checks"] if one["outcome"] in ("fail", "error")]
    return code, {one.address for one in replicas if one.address in " ".join(failed)}


@pytest.mark.parametrize("lose", [Replica.kill, Replica.cut_off, Replica.drain])
def test_a_lost_host_costs_no_call_and_is_named(
    lose: Callable[[Replica], None], replicas: list[Replica], models: Path, tmp_path: Path
) -> None:
    golden = read_bundle(models / _MODEL / "1").golden()
    first, lost, last = replicas
    assert evaluate(replicas, models, tmp_path / "before") == (0, set())
    with (
        calling(replicas, golden, retries=True) as callers,
        calling(replicas, golden, retries=False) as impatient,
    ):
        wait_for_answers(replicas)
        lose(lost)
        time.sleep(_SECONDS)
        wait_for_answers([first, last])
        outcomes, attempts = callers.stop(), impatient.stop()
    assert set(outcomes) == {"right"}
    # What fails at the first attempt is what is tried again, and only calls under way do.
    assert set(attempts) <= {"right", "UNAVAILABLE", "CANCELLED"}
    assert attempts["UNAVAILABLE"] + attempts["CANCELLED"] < 30
    assert evaluate(replicas, models, tmp_path / "after") == (3, {lost.address})


def test_a_host_that_comes_back_is_called_again(replicas: list[Replica], models: Path) -> None:
    golden = read_bundle(models / _MODEL / "1").golden()
    with calling(replicas, golden, retries=True) as callers:
        wait_for_answers(replicas)
        replicas[1].cut_off()
        time.sleep(_SECONDS)
        replicas[1].host.plug_in()
        wait_for_answers(replicas)
        assert set(callers.stop()) == {"right"}


@pytest.mark.parametrize("lose", [Replica.kill, Replica.cut_off])
def test_a_host_lost_amid_a_replay_is_named(
    lose: Callable[[Replica], None], replicas: list[Replica], models: Path, tmp_path: Path
) -> None:
    first = replicas[0]

    def strike() -> None:
        while first.answered() < 20:
            time.sleep(0.01)
        lose(first)

    striker = Thread(target=strike)
    striker.start()
    checks = ("--only", "labels,calls", "--timeout", "2")
    assert evaluate(replicas, models, tmp_path, *checks) == (3, {first.address})
    striker.join()


def test_a_host_far_away_is_reached(models: Path, tmp_path: Path) -> None:
    """A call round the world takes 0.2 s and more, and so does each step of connecting."""
    with (
        distant_host(0.1) as host,
        serving(models, *_FLAGS, prefix=host.prefix) as server,
        DigitClient(f"{host.address}:{_PORT}") as client,
    ):
        golden = read_bundle(models / _MODEL / "1").golden()
        started = time.monotonic()
        assert client.classify(golden.images[0], model=_MODEL).digit == golden.digits[0]
        assert time.monotonic() - started > 0.2
        flags = ("--only", "model")
        assert evaluate([Replica(host, server)], models, tmp_path, *flags) == (0, set())
