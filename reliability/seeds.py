"""Sound examples of everything that is read, for fuzzing to begin with."""

import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from evaluator.history import append_run
from gurmukhi.bundle import publishing, write_manifest
from gurmukhi.evaluation import Evaluation
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.labels import GLYPHS
from gurmukhi.manifest import (
    CARD,
    EVALUATION,
    GOLDEN,
    MANIFEST,
    MODEL,
    DataOrigin,
    Manifest,
    TensorSpec,
)
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.tensor import to_contents, to_raw

_IMAGES, _LABELS = synthetic_digits(4, 92)
_MODES: Final = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F", "CMYK", "YCbCr")
_FORMATS: Final = ("PNG", "BMP", "TIFF", "JPEG", "WEBP")
_COMPRESSIONS: Final = ("tiff_lzw", "packbits", "tiff_adobe_deflate", "group4", "jpeg")


def seeds_of(reader: str) -> list[bytes]:
    """Sound bytes for a reader of `reliability.readers`."""
    return list(_SEEDS[reader]())


def sound_bundle(repository: Path) -> Path:
    """Publish a small bundle whose model is no graph; returns its folder."""
    with publishing(repository, "mlp", 1) as folder:
        (folder / MODEL).write_bytes(b"model")
        (folder / EVALUATION).write_bytes(next(_evaluations()))
        (folder / GOLDEN).write_bytes(next(_goldens()))
        (folder / CARD).write_text("# a card\n", encoding="utf-8")
        write_manifest(
            folder,
            Manifest(
                name="mlp",
                version=1,
                inputs=(TensorSpec("pixels", "UINT8", (-1, 32, 32)),),
                outputs=(TensorSpec("digit", "INT64", (-1,)),),
                labels=GLYPHS,
                data=DataOrigin("synthetic", "1" * 64, 100, "0" * 64, 4),
                seed=0,
                hyperparameters={"kind": "none"},
                selection={"protocol": "none"},
                libraries={"numpy": "2"},
                opset=21,
                parity={"images": 4},
                accuracy=1.0,
                score_tolerance=1e-4,
            ),
        )
    return repository / "mlp/1"


def pictures() -> Iterator[bytes]:
    """A digit in every format, mode and compression that can be written."""
    digit = Image.fromarray(_IMAGES[0]).resize((48, 40))
    for mode in _MODES:
        for kind in _FORMATS:
            options: list[dict[str, Any]] = [{}]
            if kind == "TIFF":
                options += [{"compression": name} for name in _COMPRESSIONS]
            for chosen in options:
                try:
                    out = io.BytesIO()
                    digit.convert(mode).save(out, kind, **chosen)
                    yield out.getvalue()
                except (OSError, ValueError, KeyError):  # a format that lacks the mode
                    continue


def _tensors() -> Iterator[bytes]:
    pixels = _IMAGES[:2]
    yield bytes([1, 3, 2, 32, 32]) + to_raw(pixels)
    yield bytes([1, 3, 2, 32, 32]) + to_contents(pixels).SerializeToString()
    yield bytes([10, 2, 2, 3]) + to_raw(np.zeros((2, 3), np.float32))
    yield bytes([12, 1, 2]) + b"\3\0\0\0abc\0\0\0\0"
    yield bytes([4, 1, 3]) + to_contents(np.arange(3, dtype=np.uint64)).SerializeToString()


def _requests() -> Iterator[bytes]:
    for raw in (True, False):
        for values in (_IMAGES[:2], _IMAGES[:2].reshape(2, -1), _IMAGES[:1].astype(np.float32)):
            request = pb.ModelInferRequest(model_name="mlp", id="a")
            datatype = "FP32" if values.dtype == np.float32 else "UINT8"
            tensor = request.inputs.add(name="pixels", datatype=datatype, shape=values.shape)
            if datatype == "FP32":
                tensor.parameters["range"].string_param = "0-255"
            if raw:
                request.raw_input_contents.append(to_raw(values))
            else:
                tensor.contents.CopyFrom(to_contents(values))
            yield request.SerializeToString()
    request = pb.ModelInferRequest(model_name="mlp")
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(next(pictures()))
    yield request.SerializeToString()


def _greys() -> Iterator[bytes]:
    for image in _IMAGES:
        yield (31).to_bytes(2, "little") + image.tobytes()
        large = np.asarray(Image.fromarray(image).resize((150, 90)))
        yield (149).to_bytes(2, "little") + large.tobytes()


def _manifests() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        yield (sound_bundle(Path(folder) / "models") / MANIFEST).read_bytes()


def _goldens() -> Iterator[bytes]:
    out = io.BytesIO()
    scores = np.zeros((len(_IMAGES), 10), np.float32)
    np.savez_compressed(out, images=_IMAGES, digits=_LABELS, scores=scores)
    yield out.getvalue()
    out = io.BytesIO()
    np.savez(out, images=_IMAGES, digits=_LABELS, scores=scores)
    yield out.getvalue()


def _evaluations() -> Iterator[bytes]:
    scores = np.zeros((len(_IMAGES), 10), np.float32)
    names = tuple(map(str, range(len(_IMAGES))))
    record = Evaluation("mlp", 1, "0" * 64, names, _LABELS, _LABELS.copy(), scores)
    yield record.to_json().encode()


def report() -> dict[str, Any]:
    """A report of one model, with all that is read of one later."""
    served = {
        "accuracy": 1.0,
        "correct": 4,
        "count": 4,
        "predictions": _LABELS.tolist(),
        "lost": 0,
        "malformed": 0,
        "differing": 0,
    }
    return {
        "schema_version": 1,
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.0,
        "target": "localhost:8001",
        "verdict": "pass",
        "exit_code": 0,
        "data": {"sha256": "0" * 64, "images": 4, "synthetic": True},
        "models": [
            {
                "name": "mlp",
                "version": "1",
                "served": served,
                "latency_seconds": {"p50": 0.001, "p99": 0.002},
            }
        ],
    }


def _reports() -> Iterator[bytes]:
    yield json.dumps(report()).encode()
    yield from _histories()


def _histories() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        append_run(path, report())
        yield path.read_bytes()
        with sqlite3.connect(path) as database:
            database.execute("UPDATE runs SET record = '{}'")
        yield path.read_bytes()


_SEEDS: Final[Mapping[str, Callable[[], Iterator[bytes]]]] = {
    "tensor": _tensors,
    "request": _requests,
    "picture": pictures,
    "grey": _greys,
    "manifest": _manifests,
    "golden": _goldens,
    "evaluation": _evaluations,
    "baseline": _reports,
    "history": _histories,
    "tokens": lambda: iter([b"first\nsecond\n", b"\xff\xfe", b""]),
}
