"""Calls that no sound client would make, each with the statuses that are right for it."""

import io
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from PIL import Image

from gurmukhi.health import health_pb2
from gurmukhi.inference import open_inference_grpc_pb2 as oip
from gurmukhi.v1 import digits_pb2 as pb
from reliability.seeds import pictures, seeds_of

_DIGITS: Final = "/gurmukhi.v1.DigitService/"
_INFERENCE: Final = "/inference.GRPCInferenceService/"
_HEALTH: Final = "/grpc.health.v1.Health/"
MARK: Final = "EVIL"  # in every text that must not be seen on a line of its own in a log
_NAMES: Final = (
    "../../../etc/passwd",
    "..",
    "mlp/../mlp",
    "mlp\0",
    "\0",
    f"\n{MARK}",
    f'"}} 1\n{MARK}{{model="',
    f"\x1b[2J{MARK}",
    "\u202emlp",
    "੩",
    "MLP",
    "mlp ",
    "m" * 100_000,
)
_VERSIONS: Final = ("0", "-1", "1.0", "1e0", "01", " 1", "١", "9" * 5000, "../1", "1\0", "latest")
_HUGE: Final = (1 << 62, 1 << 32, (1 << 63) - 1, -1, -(1 << 63), 0, 1 << 31)

BAD: Final = frozenset({"INVALID_ARGUMENT"})
ABSENT: Final = frozenset({"NOT_FOUND"})
UNKNOWN: Final = frozenset({"UNIMPLEMENTED"})
ANSWERED: Final = frozenset({"OK", "INVALID_ARGUMENT", "NOT_FOUND"})


@dataclass(frozen=True, slots=True)
class Case:
    """One call: the method's path, the bytes of its message, and what may come back."""

    path: str
    message: bytes
    expected: frozenset[str]


def cases(seed: int) -> Iterator[Case]:
    """Cases without end, the same for the same seed."""
    rng = random.Random(seed)
    while True:
        yield rng.choice(_MAKERS)(rng)


def shapes(seed: int) -> Iterator[Case]:
    """Inferences whose shapes no tensor can have."""
    rng = random.Random(seed)
    while True:
        yield _shape(rng)


def _text(rng: random.Random) -> str:
    """A name that no model has."""
    if rng.random() < 0.02:  # up to the largest message that is taken
        return "m" * rng.randrange(1_000_000)
    return rng.choice(_NAMES) + str(rng.randrange(1 << 30))


def _unknown_model(rng: random.Random) -> Case:
    image = pb.Image(pixels=bytes(1024))
    request = pb.ClassifyRequest(image=image, model=_text(rng))
    return Case(_DIGITS + "Classify", request.SerializeToString(), ABSENT)


def _unknown_version(rng: random.Random) -> Case:
    image = pb.Image(pixels=bytes(1024))
    version = rng.choice(_VERSIONS) + rng.choice(["", "\n"])
    request = pb.ClassifyRequest(image=image, model="mlp", version=version)
    return Case(_DIGITS + "Classify", request.SerializeToString(), ABSENT)


def _wrong_pixels(rng: random.Random) -> Case:
    count = rng.choice([0, 1, 1023, 1025, 100_000])
    request = pb.ClassifyRequest(image=pb.Image(pixels=bytes(count)))
    return Case(_DIGITS + "Classify", request.SerializeToString(), BAD)


def _damaged_picture(rng: random.Random) -> Case:
    data = bytearray(rng.choice(_pictures()))
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.5:
        del data[rng.randrange(len(data)) :]
    request = pb.ClassifyRequest(image=pb.Image(encoded=bytes(data)))
    return Case(_DIGITS + "Classify", request.SerializeToString(), ANSWERED)


def _bomb(rng: random.Random) -> Case:
    request = pb.ClassifyRequest(image=pb.Image(encoded=rng.choice(_bombs())))
    return Case(_DIGITS + "Classify", request.SerializeToString(), BAD)


def _too_many(rng: random.Random) -> Case:
    images = [pb.Image(pixels=b"")] * rng.choice([0, 1001, 50_000])
    request = pb.ClassifyBatchRequest(images=images)
    return Case(_DIGITS + "ClassifyBatch", request.SerializeToString(), BAD)


def _too_much(rng: random.Random) -> Case:
    if rng.random() < 0.9:  # each takes a quarter of a second to be refused
        return _wrong_pixels(rng)
    message = bytes((1 << 20) + rng.randrange(1, 1 << 20))
    return Case(_DIGITS + "Classify", message, frozenset({"RESOURCE_EXHAUSTED"}))


def _top_k(rng: random.Random) -> Case:
    request = pb.ClassifyRequest(
        image=pb.Image(pixels=bytes(1024)), top_k=rng.choice([11, 1 << 16, (1 << 32) - 1])
    )
    return Case(_DIGITS + "Classify", request.SerializeToString(), BAD)


def _noise(rng: random.Random) -> Case:
    path = rng.choice([_DIGITS + "ListModels", _INFERENCE + "ModelMetadata", _HEALTH + "Check"])
    return Case(path, rng.randbytes(rng.randrange(1, 200)), ANSWERED)


def _no_such_method(rng: random.Random) -> Case:
    name = rng.choice(["Nothing", "../Classify", "Classify/", "classify", "%00", MARK])
    return Case(rng.choice([_DIGITS, _INFERENCE, "/", "/a.b/"]) + name, b"", UNKNOWN)


def _shape(rng: random.Random) -> Case:
    request = oip.ModelInferRequest(model_name="mlp", id=rng.choice(["", "i" * 1000]))
    shape = [rng.choice(_HUGE) for _ in range(rng.choice([0, 1, 2, 3, 4, 100]))]
    tensor = request.inputs.add(
        name=rng.choice(["pixels", "image", "x\0"]),
        datatype=rng.choice(["UINT8", "FP32", "BYTES", "INT64", "UINT8\n"]),
        shape=shape,
    )
    if rng.random() < 0.5:
        request.raw_input_contents.append(bytes(rng.choice([0, 4, 1024])))
    else:
        tensor.contents.uint_contents.extend([0] * 1024)
    return Case(_INFERENCE + "ModelInfer", request.SerializeToString(), BAD)


def _damaged_infer(rng: random.Random) -> Case:
    data = bytearray(rng.choice(_requests()))
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(min(len(data), 120))] = rng.randrange(256)
    return Case(_INFERENCE + "ModelInfer", bytes(data), ANSWERED)


def _questions(rng: random.Random) -> Case:
    name, version = _text(rng), rng.choice(("", *_VERSIONS))
    ready = oip.ModelReadyRequest(name=name, version=version)
    metadata = oip.ModelMetadataRequest(name=name, version=version)
    config = oip.ModelConfigRequest(name=name, version=version)
    statistics = oip.ModelStatisticsRequest(name=name, version=version)
    load = oip.RepositoryModelLoadRequest(model_name=name)
    health = health_pb2.HealthCheckRequest(service=name)
    return rng.choice(
        [
            Case(_INFERENCE + "ModelReady", ready.SerializeToString(), ANSWERED),
            Case(_INFERENCE + "ModelMetadata", metadata.SerializeToString(), ABSENT),
            Case(_INFERENCE + "ModelConfig", config.SerializeToString(), ABSENT),
            Case(_INFERENCE + "ModelStatistics", statistics.SerializeToString(), ABSENT),
            Case(_INFERENCE + "RepositoryModelLoad", load.SerializeToString(), UNKNOWN),
            Case(_HEALTH + "Check", health.SerializeToString(), ABSENT),
        ]
    )


def _parameters(rng: random.Random) -> Case:
    request = oip.ModelInferRequest(
        model_name="mlp",
        raw_input_contents=[bytes(4096)],
    )
    tensor = request.inputs.add(name="pixels", datatype="FP32", shape=[1, 32, 32])
    tensor.parameters["range"].string_param = rng.choice(["0-1\n", MARK, "", "0" * 5000])
    return Case(_INFERENCE + "ModelInfer", request.SerializeToString(), BAD)


def _png_bomb(side: int) -> bytes:
    """A PNG of a few kilobytes with `side` times `side` pixels."""
    out = io.BytesIO()
    Image.new("1", (8, 8)).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@cache
def _pictures() -> list[bytes]:
    return list(pictures())


@cache
def _requests() -> list[bytes]:
    return seeds_of("request")


@cache
def _bombs() -> list[bytes]:
    bombs = [_png_bomb(side) for side in (5_000, 30_000, 1 << 30, (1 << 31) - 1)]
    for kind, options in (("TIFF", {"compression": "group4"}), ("WEBP", {}), ("PNG", {})):
        out = io.BytesIO()
        side = 4_100 if kind != "WEBP" else 4_050
        Image.fromarray(np.full((side, side), 255, np.uint8)).convert(
            "1" if kind == "TIFF" else "L"
        ).save(out, kind, **options)
        bombs.append(out.getvalue())
    return [bomb for bomb in bombs if len(bomb) < 1 << 20]


_MAKERS: Final[tuple[Callable[[random.Random], Case], ...]] = (
    *(_unknown_model, _unknown_version, _wrong_pixels, _damaged_picture, _bomb, _too_many),
    *(_too_much, _top_k, _noise, _no_such_method, _shape, _damaged_infer, _questions, _parameters),
)
