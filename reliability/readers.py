"""What reads bytes that others wrote, each as a function that breaks where a promise is broken.

A reader takes any bytes. It may refuse them with the error that it is documented to raise; what it
takes must be sound. Anything else, such as another exception, is a fault.
"""

import dataclasses
import hashlib
import io
import os
import struct
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from evaluator.baseline import Baseline
from evaluator.nights import history
from gurmukhi.bundle import Bundle, find_bundles, read_bundle
from gurmukhi.errors import BundleError, DataError, ImageError, TensorError
from gurmukhi.evaluation import Evaluation
from gurmukhi.image import INK, PAPER, SIDE, decode, fit_frame
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.manifest import EVALUATION, GOLDEN, MANIFEST
from gurmukhi.tensor import from_contents, from_raw, to_contents, to_raw
from server.errors import InvalidRequest
from server.inference_input import read_images
from server.tokens import Tokens

MAX_PIXELS: Final = 4_000_000  # of a picture here, so that a case takes milliseconds
_MAX_IMAGES: Final = 16
_DATATYPES: Final = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES", "", "FP8", "bytes\0"),
)
_SIZES: Final = (0, 1, 2, 3, 32, 1024, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, -1, -(1 << 63))


class BrokenPromiseError(AssertionError):
    """A reader took what it should have refused, or gave what it should not."""


class _Call:
    """A caller who waits for ever."""

    deadline = None
    queued_seconds = 0.0

    def is_cancelled(self) -> bool:
        return False


def read_tensor(data: bytes) -> None:
    """The tensor codec: datatype and shape from the first bytes, the rest as contents."""
    if len(data) < 3:
        return
    datatype = _DATATYPES[data[0] % len(_DATATYPES)]
    dimensions = data[1] % 6 if data[1] < 250 else 80
    shape = [_size(data[2 + i : 3 + i]) for i in range(dimensions)]
    raw = data[2 + dimensions :]
    with suppress(TensorError):
        array = from_raw(datatype, shape, raw)
        _ensure(list(array.shape) == shape, "another shape")
        _ensure(to_raw(array) == raw, "another value")
    with suppress(TensorError, DecodeError):
        contents = pb.InferTensorContents.FromString(raw)
        array = from_contents(datatype, shape, contents)
        _ensure(list(array.shape) == shape, "another shape")
        again = from_contents(datatype, shape, to_contents(array))
        _ensure(to_raw(again) == to_raw(array), "another value")


def _size(data: bytes) -> int:
    value = data[0] if data else 0
    return _SIZES[value % len(_SIZES)] if value >= 128 else value


def read_request(data: bytes) -> None:
    """A ModelInferRequest off the wire."""
    with suppress(DecodeError, InvalidRequest):
        request = pb.ModelInferRequest.FromString(data)
        images = read_images(request, _Call(), _MAX_IMAGES)
        _ensure(images.pixels.dtype == np.uint8, f"pixels of {images.pixels.dtype}")
        count, *frame = images.pixels.shape
        _ensure(1 <= count <= _MAX_IMAGES and frame == [SIDE, SIDE], str(images.pixels.shape))


def read_picture(data: bytes) -> None:
    """A picture: decoded to a digit of ink and paper, or refused."""
    with suppress(ImageError):
        _ensure_digit(decode(data, max_pixels=MAX_PIXELS).pixels)


def read_grey(data: bytes) -> None:
    """Grey values of any width: ink found and fitted to the frame, or refused."""
    if len(data) < 4:
        return
    (width,) = struct.unpack_from("<H", data)
    values = np.frombuffer(data, np.uint8, offset=2)
    width = min(width % 600 + 1, len(values))
    with suppress(ImageError):
        _ensure_digit(fit_frame(values[: len(values) // width * width].reshape(-1, width)).pixels)


def _ensure_digit(pixels: Any) -> None:
    _ensure(pixels.shape == (SIDE, SIDE) and pixels.dtype == np.uint8, "another frame")
    _ensure(set(np.unique(pixels).tolist()) <= {INK, PAPER}, "neither ink nor paper")
    _ensure(bool((pixels == INK).any()), "no ink, and no word of it")


def read_manifest(data: bytes) -> None:
    """A bundle's manifest, in a folder of a repository."""
    folder = _folder() / "models/mlp/1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_bytes(data)
    with suppress(BundleError):
        for found in find_bundles(folder.parent.parent):
            manifest = read_bundle(found).manifest
            _ensure((manifest.name, manifest.version) == ("mlp", 1), "of another place")
            _ensure(0 <= manifest.score_tolerance <= 1, "a tolerance of anything")
            read_bundle(found).verify()
            raise BrokenPromiseError("verified, though no file of it is there")


def read_golden(data: bytes) -> None:
    """Golden vectors whose sha256 is right."""
    with suppress(BundleError):
        golden = _bundle_of(GOLDEN, data).golden()
        _ensure(golden.images.shape == (len(golden.digits), SIDE, SIDE), "another shape")


def read_evaluation(data: bytes) -> None:
    """Offline answers whose sha256 is right."""
    with suppress(BundleError):
        evaluation = Evaluation.read(_bundle_of(EVALUATION, data))
        _ensure(0 <= evaluation.accuracy <= 1, "an accuracy of anything")


def _bundle_of(name: str, data: bytes) -> Bundle:
    folder = _folder()
    (folder / name).write_bytes(data)
    manifest = _sound_manifest()
    files = {**manifest.files, name: hashlib.sha256(data).hexdigest()}
    return Bundle(folder, dataclasses.replace(manifest, files=files))


def read_baseline(data: bytes) -> None:
    """An earlier report.json, or a history, as `--baseline`."""
    path = _folder() / "report.json"
    path.write_bytes(data)
    with suppress(DataError):
        for digits in Baseline.read(path).predictions.values():
            _ensure(digits.dtype == np.int64 and digits.ndim == 1, "no row of digits")


def read_history(data: bytes) -> None:
    """A history of runs, listed."""
    path = _folder() / "history.sqlite"
    path.write_bytes(data)
    with suppress(DataError), redirect_stdout(io.StringIO()):
        history(Namespace(file=path, last=30, model=[], html=path.with_suffix(".html")))


def read_tokens(data: bytes) -> None:
    """A file of bearer tokens."""
    path = _folder() / "tokens"
    path.write_bytes(data)
    with suppress(DataError):
        tokens = Tokens(path)
        caller = [("authorization", "Bearer no such token")]
        _ensure(not tokens.admit(caller), "let in with no token of its own")


def _ensure(condition: bool, what: str) -> None:
    if not condition:
        raise BrokenPromiseError(what)


@cache
def _folder() -> Path:
    """A folder of this process, in memory where there is such a place."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    place = memory if os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="gurmukhi-readers-", dir=place))


@cache
def _sound_manifest() -> Any:
    from reliability.seeds import sound_bundle

    return read_bundle(sound_bundle(_folder() / "sound")).manifest


READERS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "tensor": read_tensor,
    "request": read_request,
    "picture": read_picture,
    "grey": read_grey,
    "manifest": read_manifest,
    "golden": read_golden,
    "evaluation": read_evaluation,
    "baseline": read_baseline,
    "history": read_history,
    "tokens": read_tokens,
}
