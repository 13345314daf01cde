"""Mixed traffic for a long time: nothing may grow, and nothing may slow down."""

import multiprocessing
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from reliability.figures import Figure
from reliability.neighbour import calling, quantile
from reliability.questions import Truth
from reliability.service import Service, serving
from reliability.traffic import Traffic, bad_input

TRIAL: Final = "endurance"
_PROCESSES: Final = 2
_WORKERS: Final = ("--workers", "auto")  # one a CPU
_SAMPLES: Final = 120  # at most
_WARM_UP: Final = 0.2  # of the time
_RATE: Final = 2_000
# What else is to be there, so many a second.
_KINDS: Final = {
    "messages of streams": 20.0,
    "bad calls": 10.0,
    "passed deadlines": 1.0,
    "reloads": 0.1,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """What a server holds at one moment."""

    at: float
    resident_bytes: int
    threads: int
    descriptors: int
    series: int
    handled: float

    @classmethod
    def of(cls, service: Service) -> "Sample":
        metrics = service.metrics()
        handled = sum(
            n for key, n in metrics.items() if key.startswith("grpc_server_handled_total")
        )
        return cls(
            time.monotonic(),
            service.resident_bytes(),
            service.threads(),
            service.descriptors(),
            len(metrics),
            handled,
        )


def try_endurance(models: Path, seconds: float, out: Path) -> Iterator[Figure]:
    """Mixed traffic for so long, watched all the time."""
    with (
        tempfile.TemporaryDirectory(prefix="gurmukhi-endurance-") as folder,
        ExitStack() as stack,
    ):
        repository = Path(folder) / "models"
        shutil.copytree(models, repository)  # its files are touched, to be loaded again
        service = stack.enter_context(serving(repository, "--model-control", "explicit", *_WORKERS))
        neighbour = stack.enter_context(calling(service.target))
        drivers = [_Driver(service.target, repository, index) for index in range(_PROCESSES)]
        for driver in drivers:
            driver.ready()
        samples = list(_watch(service, seconds))
        told = Told.sum(driver.stop() for driver in drivers)
        running = service.is_running()
    warm = samples[int(len(samples) * _WARM_UP) :]
    yield Figure.exactly(TRIAL, "the server still runs", running, expected=True)
    yield from told.figures(seconds)
    rate = (warm[-1].handled - warm[0].handled) / (warm[-1].at - warm[0].at)
    yield Figure.at_least(TRIAL, "calls a second", rate, _RATE)
    yield from _growth(warm)
    middle, end = (warm[0].at + warm[-1].at) / 2, warm[-1].at
    halves = [neighbour.latencies([span]) for span in ((warm[0].at, middle), (middle, end))]
    first, second = (quantile(half, 0.99) for half in halves)
    what = f"p99 latency of the second half ({second * 1e3:.0f} ms) : the first"
    yield Figure.at_most(TRIAL, what, second / first, 1.5)
    _plot(samples, neighbour.began, neighbour.seconds, out / "endurance.svg")


def _watch(service: Service, seconds: float) -> Iterator[Sample]:
    """A sample now and then for so long; fewer where the server takes long to say what it holds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(seconds / _SAMPLES)
        yield Sample.of(service)


def _growth(warm: Sequence[Sample]) -> Iterator[Figure]:
    """What grew from the first fifth of the samples to the last, by their medians.

    A single sample may fall into a moment in which a model is loaded.
    """
    fifth = max(1, len(warm) // 5)

    def medians(of: Callable[[Sample], int]) -> tuple[float, float]:
        first, last = warm[:fifth], warm[-fifth:]
        return median(map(of, first)), median(map(of, last))

    first, last = medians(lambda one: one.resident_bytes)
    what = f"memory at the end ({last / 2**20:.0f} MB) : after warm-up"
    yield Figure.at_most(TRIAL, what, last / first, 1.05)
    first, last = medians(lambda one: one.threads)
    yield Figure.at_most(TRIAL, "new threads", last - first, 5)
    first, last = medians(lambda one: one.descriptors)
    yield Figure.at_most(TRIAL, "new descriptors", last - first, 5)
    first, last = medians(lambda one: one.series)
    yield Figure.at_most(TRIAL, "new metric series", last - first, 20)


@dataclass(slots=True)
class Told:
    """What senders sent and were told."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    @classmethod
    def sum(cls, parts: "Iterable[Told]") -> "Told":
        """All of them together."""
        total = cls()
        for part in parts:
            total.counts += part.counts
            total.wrong += part.wrong
        return total

    def figures(self, seconds: float) -> Iterator[Figure]:
        """That all was answered as it should be, and that each kind of traffic was there."""
        wrong = dict(self.wrong.most_common(3)) or "none"
        told = self.counts["calls"] + self.counts["messages of streams"]
        yield Figure.exactly(TRIAL, f"wrong answers or statuses of {told:,}", wrong, "none")
        for what, a_second in _KINDS.items():
            yield Figure.at_least(TRIAL, what, self.counts[what], round(a_second * seconds))


class _Driver:
    """A process that sends mixed traffic until it is stopped."""

    def __init__(self, target: str, models: Path, index: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (target, models, index, theirs)
        self._process = context.Process(target=_drive, args=arguments, daemon=True)
        self._process.start()

    def ready(self) -> None:
        """Wait until it is about to send."""
        self._pipe.recv()

    def stop(self) -> Told:
        """End it; what it was told."""
        self._pipe.send(None)
        told: Told = self._pipe.recv()
        self._process.join()
        return told


def _drive(target: str, models: Path, index: int, pipe: Connection) -> None:
    """Send from one process; the first one's also reload models, the others' send bad input."""
    traffic = Traffic(target, Truth.of(models), index)
    other = (traffic.reload, models) if index == 0 else (traffic.send_bad_input, bad_input())
    senders = ((traffic.call,), (traffic.call_with_deadlines,), (traffic.stream,), other)
    threads = [threading.Thread(target=traffic.until_stopped, args=one) for one in senders]
    for thread in threads:
        thread.start()
    pipe.send(None)
    pipe.recv()
    traffic.stopped.set()
    for thread in threads:
        thread.join()
    traffic.close()
    pipe.send(Told(traffic.counts, traffic.wrong))


def _plot(samples: list[Sample], began: list[float], seconds: list[float], path: Path) -> None:
    from matplotlib.figure import Figure as Drawing

    start = samples[0].at
    minutes = [(one.at - start) / 60 for one in samples]
    rows: list[tuple[str, list[float]]] = [
        ("resident, MB", [one.resident_bytes / 2**20 for one in samples]),
        ("threads", [float(one.threads) for one in samples]),
        ("descriptors", [float(one.descriptors) for one in samples]),
        ("p99, ms", [_p99(began, seconds, one.at, samples) for one in samples]),
    ]
    drawing = Drawing(figsize=(8, 8), layout="constrained")
    axes: Any = drawing.subplots(len(rows), 1, sharex=True)
    for axis, (name, values) in zip(axes, rows, strict=True):
        axis.plot(minutes, values, color="#111111")
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("minutes")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path)


def _p99(began: list[float], seconds: list[float], at: float, samples: list[Sample]) -> float:
    width = (samples[-1].at - samples[0].at) / len(samples)
    times = np.asarray(began)
    chosen = np.asarray(seconds)[(times > at - width) & (times <= at)]
    return quantile(chosen.tolist(), 0.99) * 1e3
