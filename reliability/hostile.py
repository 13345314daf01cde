"""Attack a real server at its ports, with a well-behaved caller beside."""

import itertools
import json
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc

from gurmukhi.inference import open_inference_grpc_pb2 as oip
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from reliability.attacks import GRPC_ATTACKS, HTTP_ATTACKS
from reliability.cases import MARK, Case, cases
from reliability.figures import Figure
from reliability.neighbour import Neighbour, calling, quantile
from reliability.service import Service, serving

TRIAL: Final = "hostile input"
_WINDOW: Final = 32  # calls under way
_TIMEOUT_SECONDS: Final = 20.0
_LATENCY_RATIO: Final = 3.0
_GROWTH: Final = 1.05
# Allocators keep what they once had, and now and then a round ends with some of it still in use:
# what is left for good shows in the least of three rounds, after one to warm up.
_ROUNDS: Final = 7
# A status that a method gives for the first time is a new series; there are 16 of each method's.
_NEW_SERIES: Final = 20
_SETTLE_SECONDS: Final = 0.3


class Attacks:
    """What was sent, when, and what of it was answered as it should not be."""

    def __init__(self) -> None:
        self.cases: Counter[str] = Counter()
        self.spans: dict[str, tuple[float, float]] = {}
        self.wrong: Counter[str] = Counter()

    def run(self, name: str, attack: Any) -> None:
        """Carry one out and note when."""
        started = time.monotonic()
        self.cases[name] += attack()
        self.spans[name] = (started, time.monotonic())
        time.sleep(_SETTLE_SECONDS)


def try_hostile_input(models: Path, seconds: float) -> Iterator[Figure]:
    """All attacks, each for so long, in seven rounds; the last has a well-behaved caller beside."""
    flags = ("--access-log", "1", "--log-format", "json")
    with serving(models, *flags) as service:
        resident = []
        for _ in range(_ROUNDS - 1):
            _attack_all(service, Attacks(), seconds)
            _settle(service)
            resident.append(service.resident_bytes())
        series, threads = len(service.metrics()), service.threads()
        attacks = Attacks()
        with calling(service.target) as neighbour:
            started = time.monotonic()
            time.sleep(max(2.0, seconds))
            quiet = (started, time.monotonic())
            _attack_all(service, attacks, seconds)
        _settle(service)
        yield Figure.exactly(TRIAL, "the server still runs", service.is_running(), expected=True)
        yield Figure.at_least(TRIAL, "cases at the ports", sum(attacks.cases.values()), 1000)
        yield Figure.exactly(TRIAL, "answers of a wrong status", _few(attacks.wrong), "none")
        resident.append(service.resident_bytes())
        grown = min(resident[4:]) / min(resident[1:4])
        what = "memory after the last three rounds : the three before, the least of each"
        yield Figure.at_most(TRIAL, what, grown, _GROWTH)
        yield Figure.at_most(
            TRIAL, "new metric series", len(service.metrics()) - series, _NEW_SERIES
        )
        yield Figure.at_most(TRIAL, "new threads", service.threads() - threads, 5)
        inflight = service.metrics()["gurmukhi_inflight_requests"]
        yield Figure.at_most(TRIAL, "calls left in flight", inflight, 0)
        yield Figure.exactly(TRIAL, "log lines a caller forged", _forged_lines(service.log), 0)
        yield from _beside(neighbour, attacks, quiet)


def _attack_all(service: Service, attacks: Attacks, seconds: float) -> None:
    for name, attack in GRPC_ATTACKS.items():
        address = (service.host, service.port)
        attacks.run(name, lambda attack=attack, to=address: attack(to, seconds))
    for name, attack in HTTP_ATTACKS.items():
        address = (service.host, service.http_port)
        attacks.run(name, lambda attack=attack, to=address: attack(to, seconds))
    with grpc.insecure_channel(service.target) as channel:
        attacks.run("calls", lambda: _call(channel, attacks.wrong, seconds * 4))
        attacks.run("messages of a stream", lambda: _stream(channel, attacks.wrong, seconds * 2))


def _call(channel: grpc.Channel, wrong: Counter[str], seconds: float) -> int:
    """Send hostile calls, a few at a time, and count the answers of a wrong status."""
    pending: deque[tuple[Case, Any]] = deque()
    methods: dict[str, Any] = {}
    until, sent = time.monotonic() + seconds, 0
    source = cases(seed=int(until))
    while time.monotonic() < until or pending:
        while len(pending) < _WINDOW and time.monotonic() < until:
            case = next(source)
            method = methods.get(case.path) or channel.unary_unary(case.path, bytes, bytes)
            methods[case.path] = method
            pending.append((case, method.future(case.message, timeout=_TIMEOUT_SECONDS)))
            sent += 1
        if pending:
            case, future = pending.popleft()
            code = future.code().name
            if code not in case.expected:
                wrong[f"{case.path}: {code}, expected {'/'.join(sorted(case.expected))}"] += 1
    return sent


def _stream(channel: grpc.Channel, wrong: Counter[str], seconds: float) -> int:
    """Send hostile inferences over one stream: each gets its error, and the stream goes on."""
    until = time.monotonic() + seconds
    infers = (case for case in cases(seed=6) if case.path.endswith("/ModelInfer"))
    shaped = (case for case in infers if case.expected == {"INVALID_ARGUMENT"})
    batch = [
        oip.ModelInferRequest.FromString(case.message) for case in itertools.islice(shaped, 500)
    ]
    requests = itertools.takewhile(lambda _: time.monotonic() < until, itertools.cycle(batch))
    answered = 0
    for reply in GRPCInferenceServiceStub(channel).ModelStreamInfer(requests):
        answered += 1
        if not reply.error_message:
            wrong["ModelStreamInfer: answered what is wrong"] += 1
    return answered


def _settle(service: Service) -> None:
    """Wait until the calls have ended, and the port of probes has cut off who lingers."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if service.metrics()["gurmukhi_inflight_requests"] == 0 and service.threads() < 100:
            return
        time.sleep(0.2)


def _few(wrong: Counter[str]) -> str:
    return "; ".join(f"{what} ({count})" for what, count in wrong.most_common(3)) or "none"


def _forged_lines(log: str) -> int:
    """Lines that begin with what a caller sent, or carry its control characters."""
    forged = 0
    for line in log.splitlines():
        try:
            json.loads(line)
        except ValueError:
            # libtiff writes its own lines, in words of its own and with numbers alone.
            forged += line.startswith(MARK) or MARK in line or not line.isprintable()
    return forged


def _beside(neighbour: Neighbour, attacks: Attacks, quiet: tuple[float, float]) -> Iterator[Figure]:
    yield Figure.exactly(TRIAL, "wrong answers beside", neighbour.wrong, 0)
    yield Figure.exactly(TRIAL, "failed calls beside", neighbour.failures or "none", "none")
    before = quantile(neighbour.latencies([quiet]), 0.5)
    for name, span in attacks.spans.items():
        median = quantile(neighbour.latencies([span]), 0.5)
        cases = attacks.cases[name]
        what = f"median latency beside {cases:,} cases of {name}, : at rest"
        yield Figure.at_most(TRIAL, what, median / before, _LATENCY_RATIO, "×")
