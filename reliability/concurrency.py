"""Many callers at a time: each answer belongs to its request, and to the version that it names."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import numpy as np
from numpy.typing import NDArray

from gurmukhi.bundle import find_bundles
from gurmukhi.inference import open_inference_grpc_pb2 as oip
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.tensor import to_raw
from gurmukhi.v1 import digits_pb2 as pb
from gurmukhi.v1.digits_pb2_grpc import DigitServiceStub
from reliability.figures import Figure
from reliability.service import serving
from server.model import load_model

TRIAL: Final = "concurrency"
_IMAGES, _ = synthetic_digits(300, 98)
_BATCHES: Final = (1, 1, 1, 2, 7, 32)
_DEADLINES: Final = (0.005, 0.05, 10.0, 10.0, 10.0)
# Of a model that is unloaded just now, a deadline that is short, a queue that is full.
_ALLOWED: Final = frozenset({"OK", "NOT_FOUND", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
Key = tuple[str, str]


@dataclass(slots=True)
class Truth:
    """What each version says of each image, found without a server."""

    digits: dict[Key, NDArray[np.int64]] = field(default_factory=dict)
    sha256: dict[Key, str] = field(default_factory=dict)

    @classmethod
    def of(cls, models: Path) -> "Truth":
        truth = cls()
        for folder in find_bundles(models):
            model = load_model(folder)
            key = (model.name, model.version)
            truth.digits[key] = model.predict(_IMAGES).digits
            truth.sha256[key] = model.sha256
        return truth


class Clients:
    """Callers over both APIs, and a tally of what they were told."""

    def __init__(self, target: str, truth: Truth) -> None:
        self.codes: Counter[str] = Counter()
        self.wrong = 0
        self.stopped = threading.Event()
        self._truth = truth
        self._keys = sorted(truth.digits)
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
            key = rng.choice(self._keys)
            chosen = [rng.randrange(len(_IMAGES)) for _ in range(rng.choice(_BATCHES))]
            ask = self._classify if rng.random() < 0.5 else self._infer
            try:
                right = ask(channel, key, chosen, rng.choice(_DEADLINES))
            except grpc.RpcError as error:
                codes[str(getattr(error, "code")().name)] += 1  # noqa: B009 - a grpc.Call
            else:
                codes["OK"] += 1
                wrong += not right
        with self._lock:
            self.codes += codes
            self.wrong += wrong

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def _classify(self, channel: grpc.Channel, key: Key, chosen: list[int], seconds: float) -> bool:
        request = pb.ClassifyBatchRequest(
            images=[pb.Image(pixels=_IMAGES[index].tobytes()) for index in chosen],
            model=key[0],
            version=key[1],
        )
        reply = DigitServiceStub(channel).ClassifyBatch(request, timeout=seconds)
        named = (reply.model.name, reply.model.version)
        found = [one.digit for one in reply.classifications]
        return (
            named == key
            and reply.model.sha256 == self._truth.sha256[key]
            and found == self._truth.digits[key][chosen].tolist()
        )

    def _infer(self, channel: grpc.Channel, key: Key, chosen: list[int], seconds: float) -> bool:
        pixels, number = _IMAGES[chosen], str(time.monotonic_ns())
        request = oip.ModelInferRequest(
            model_name=key[0],
            model_version=key[1],
            id=number,
            raw_input_contents=[to_raw(pixels)],
        )
        request.inputs.add(name="pixels", datatype="UINT8", shape=pixels.shape)
        request.outputs.add(name="digit")
        reply = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=seconds)
        found = np.frombuffer(reply.raw_output_contents[0], np.int64)
        return (reply.model_name, reply.model_version, reply.id) == (
            *key,
            number,
        ) and found.tolist() == self._truth.digits[key][chosen].tolist()


def try_concurrency(models: Path, seconds: float, callers: int = 64) -> Iterator[Figure]:
    """Call from many threads while models are loaded and unloaded."""
    truth = Truth.of(models)
    with serving(models, "--model-control", "explicit") as service:
        clients = Clients(service.target, truth)
        threads = [threading.Thread(target=clients.run, args=(seed,)) for seed in range(callers)]
        for thread in threads:
            thread.start()
        changes = _change_models(
            service.target, sorted({name for name, _ in truth.digits}), seconds
        )
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
