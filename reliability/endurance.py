"""Mixed traffic for a long time: nothing may grow, and nothing may slow down."""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from gurmukhi.inference import open_inference_grpc_pb2 as oip
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from reliability.cases import cases
from reliability.concurrency import Clients, Truth
from reliability.figures import Figure
from reliability.neighbour import calling, quantile
from reliability.service import Service, serving

TRIAL: Final = "endurance"
_PROCESSES: Final = 2
_CALLERS: Final = 16  # a process
_SAMPLES: Final = 60
_WARM_UP: Final = 0.2  # of the time
_RATE: Final = 2_000
_RELOAD_SECONDS: Final = 5.0


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
    context = multiprocessing.get_context("spawn")
    with serving(models, "--model-control", "explicit") as service, ExitStack() as stack:
        neighbour = stack.enter_context(calling(service.target))
        pipes = []
        for index in range(_PROCESSES):
            ours, theirs = context.Pipe()
            arguments = (service.target, models, index, theirs)
            context.Process(target=_drive, args=arguments, daemon=True).start()
            pipes.append(ours)
        samples = []
        for _ in range(_SAMPLES):
            time.sleep(seconds / _SAMPLES)
            samples.append(Sample.of(service))
        for pipe in pipes:
            pipe.send(None)
        codes, wrong = Counter[str](), 0
        for pipe in pipes:
            found, missed = pipe.recv()
            codes, wrong = codes + found, wrong + missed
        running = service.is_running()
    _plot(samples, neighbour.began, neighbour.seconds, out / "endurance.svg")
    first, last = samples[int(_SAMPLES * _WARM_UP)], samples[-1]
    yield Figure.exactly(TRIAL, "the server still runs", running, expected=True)
    yield Figure.exactly(TRIAL, f"wrong answers of {codes['OK']:,}", wrong, 0)
    rate = (last.handled - first.handled) / (last.at - first.at)
    yield Figure.at_least(TRIAL, "calls a second", rate, _RATE)
    grown = last.resident_bytes / first.resident_bytes
    yield Figure.at_most(TRIAL, "memory at the end : after warm-up", grown, 1.05)
    yield Figure.at_most(TRIAL, "new threads", last.threads - first.threads, 5)
    yield Figure.at_most(TRIAL, "new descriptors", last.descriptors - first.descriptors, 5)
    yield Figure.at_most(TRIAL, "new metric series", last.series - first.series, 20)
    middle = (first.at + last.at) / 2
    halves = [neighbour.latencies([span]) for span in ((first.at, middle), (middle, last.at))]
    slower = quantile(halves[1], 0.99) / quantile(halves[0], 0.99)
    yield Figure.at_most(TRIAL, "p99 latency of the second half : the first", slower, 1.5)


def _drive(target: str, models: Path, index: int, pipe: Connection) -> None:
    """Callers of one process; the first one's also reload models, another's send bad input."""
    clients = Clients(target, Truth.of(models))
    threads = [threading.Thread(target=clients.run, args=(seed,)) for seed in range(_CALLERS)]
    other = _reload if index == 0 else _send_bad_input
    threads.append(threading.Thread(target=other, args=(target, clients.stopped)))
    for thread in threads:
        thread.start()
    pipe.recv()
    clients.stopped.set()
    for thread in threads:
        thread.join()
    clients.close()
    pipe.send((clients.codes, clients.wrong))


def _reload(target: str, stopped: threading.Event) -> None:
    with grpc.insecure_channel(target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        names = [one.name for one in stub.RepositoryIndex(oip.RepositoryIndexRequest()).models]
        turn = 0
        while not stopped.wait(_RELOAD_SECONDS):
            turn += 1
            name = names[turn % len(names)]
            stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name=name), timeout=60)


def _send_bad_input(target: str, stopped: threading.Event) -> None:
    with grpc.insecure_channel(target) as channel:
        for case in cases(seed=9):
            if stopped.wait(0.005):
                return
            channel.unary_unary(case.path, bytes, bytes).future(case.message, timeout=20).code()


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
