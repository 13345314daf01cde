"""Many callers at a time: each answer belongs to its request, and to the version that it names."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc

from gurmukhi.inference import open_inference_grpc_pb2 as oip
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from reliability.figures import Figure
from reliability.questions import IMAGES, Question, Truth
from reliability.service import serving

TRIAL: Final = "concurrency"
_BATCHES: Final = (1, 1, 1, 2, 7, 32)
_DEADLINES: Final = (0.005, 0.05, 10.0, 10.0, 10.0)
# Of a model that is unloaded just now, a deadline that is short, a queue that is full.
_ALLOWED: Final = frozenset({"OK", "NOT_FOUND", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})


class Clients:
    """Callers over both APIs, and a tally of what they were told."""

    def __init__(self, target: str, truth: Truth) -> None:
        self.codes: Counter[str] = Counter()
        self.wrong = 0
        self.stopped = threading.Event()
        self._truth = truth
        self._lock = threading.Lock()
        self._channels = [
            grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(8)
        ]

    def run(self, seed: int) -> None:
        """Call at random until stopped."""
        rng = random.Random(seed)
        channel = self._channels[seed % len(self._channels)]
        codes, wrong = Counter[str](), 0
        while not self.stopped.is_set():
            question = self._ask(rng)
            call = channel.unary_unary(question.path, bytes, bytes)
            try:
                reply = call(question.message, timeout=rng.choice(_DEADLINES))
            except grpc.RpcError as error:
                codes[str(getattr(error, "code")().name)] += 1  # noqa: B009 - a grpc.Call
            else:
                codes["OK"] += 1
                wrong += not question.is_right(reply)
        with self._lock:
            self.codes += codes
            self.wrong += wrong

    def _ask(self, rng: random.Random) -> Question:
        key = rng.choice(self._truth.keys)
        chosen = [rng.randrange(len(IMAGES)) for _ in range(rng.choice(_BATCHES))]
        if rng.random() < 0.5:
            return self._truth.classify_batch(key, chosen)
        return self._truth.infer(key, chosen, str(time.monotonic_ns()))

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


def try_concurrency(models: Path, seconds: float, callers: int = 64) -> Iterator[Figure]:
    """Call from many threads while models are loaded and unloaded."""
    truth = Truth.of(models)
    with serving(models, "--model-control", "explicit") as service:
        clients = Clients(service.target, truth)
        threads = [threading.Thread(target=clients.run, args=(seed,)) for seed in range(callers)]
        for thread in threads:
            thread.start()
        changes = _change_models(service.target, sorted({name for name, _ in truth.keys}), seconds)
        clients.stopped.set()
        for thread in threads:
            thread.join()
        clients.close()
    answered, odd = clients.codes["OK"], sorted(set(clients.codes) - _ALLOWED)
    what = f"of {answered:,} answers to {callers} callers, not of their request or version"
    yield Figure.exactly(TRIAL, what, clients.wrong, 0)
    yield Figure.exactly(TRIAL, "other statuses than of a reload or a deadline", odd, [])
    yield Figure.at_least(TRIAL, "answers", answered, 20 * seconds)
    yield Figure.at_least(TRIAL, "loads and unloads meanwhile", changes, 2)


def _change_models(target: str, names: list[str], seconds: float) -> int:
    changes, until = 0, time.monotonic() + seconds
    with grpc.insecure_channel(target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        while time.monotonic() < until:
            name = names[changes // 2 % len(names)]
            if changes % 2 == 0:
                unload = oip.RepositoryModelUnloadRequest(model_name=name)
                stub.RepositoryModelUnload(unload, timeout=60)
            else:
                load = oip.RepositoryModelLoadRequest(model_name=name)
                stub.RepositoryModelLoad(load, timeout=60)
            changes += 1
            time.sleep(0.2)
    return changes
