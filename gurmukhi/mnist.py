"""Find and read MNIST: four IDX files, gzipped or plain, each with its known sha256."""

import hashlib
import os
import struct
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import DataError

# Of the uncompressed files.
MNIST_SHA256: Final = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_MIRRORS: Final = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
_DOWNLOAD_TIMEOUT_SECONDS: Final = 5.0
# The largest of the four has 47,040,016 bytes; whatever unpacks to more is none of them.
_MAX_BYTES: Final = 64 << 20
_UNSIGNED_BYTE: Final = 0x08  # the IDX type code


@dataclass(frozen=True, slots=True)
class Mnist:
    """Both splits of MNIST; pixels as published, 0 ground and 255 ink."""

    train_images: NDArray[np.uint8]  # (60000, 28, 28)
    train_labels: NDArray[np.int64]  # (60000,)
    test_images: NDArray[np.uint8]  # (10000, 28, 28)
    test_labels: NDArray[np.int64]  # (10000,)


def find_mnist(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the four files: $MNIST_DATA_DIR, else the cache, filled from a public mirror.

    Raises DataError, which says where MNIST is to be had.
    """
    if given := environment.get("MNIST_DATA_DIR"):
        folder = Path(given)
        if not folder.is_dir():
            raise DataError(f"MNIST_DATA_DIR={given}: no such folder")
        return folder
    base = environment.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "gurmukhi-digits" / "mnist"
    if all((cache / f"{name}.gz").is_file() for name in MNIST_SHA256):
        return cache
    reasons = []
    for mirror in _MIRRORS:
        try:
            _download(mirror, cache)
        except (OSError, DataError) as error:
            reasons.append(f"{mirror}: {error}")
        else:
            return cache
    raise DataError(
        f"MNIST is neither in $MNIST_DATA_DIR (not set) nor in {cache}; put "
        f"{', '.join(f'{name}.gz' for name in MNIST_SHA256)} from {_MIRRORS[0]} into a folder and "
        f"set MNIST_DATA_DIR to it (download failed: {'; '.join(reasons)})"
    )


def read_mnist(folder: Path) -> Mnist:
    """Read the four files of a folder and prove each by its sha256; raises DataError."""
    train_images, train_labels, test_images, test_labels = (
        parse_idx(_read_checked(folder, name), name=name) for name in MNIST_SHA256
    )
    return Mnist(
        train_images,
        train_labels.astype(np.int64),
        test_images,
        test_labels.astype(np.int64),
    )


def parse_idx(data: bytes, *, name: str) -> NDArray[np.uint8]:
    """The array of an IDX file of unsigned bytes; raises DataError naming the file.

    Two zero bytes, a type code, the number of dimensions, each dimension as a big-endian uint32,
    then the values.
    """
    if len(data) < 4:
        raise DataError(f"{name}: {len(data)} bytes are no IDX file")
    zeros, kind, rank = struct.unpack_from(">HBB", data)
    if zeros != 0 or kind != _UNSIGNED_BYTE or rank == 0:
        raise DataError(
            f"{name}: starts with {data[:4].hex()}; expected 000008 (an IDX file of unsigned bytes)"
        )
    start = 4 + 4 * rank
    if len(data) < start:
        raise DataError(f"{name}: ends inside its header of {start} bytes")
    shape = struct.unpack_from(f">{rank}I", data, 4)
    if len(data) - start != prod(shape):
        raise DataError(
            f"{name}: holds {len(data) - start} values; its header says "
            f"{'×'.join(map(str, shape))} = {prod(shape)}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read_checked(folder: Path, name: str) -> bytes:
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.is_file():
        path, data = plain, _read_limited(plain)
    elif packed.is_file():
        path, data = packed, _unpack(packed, packed.read_bytes())
    else:
        raise DataError(f"{folder}: holds neither {name} nor {name}.gz")
    _check(path, name, data)
    return data


def _read_limited(path: Path) -> bytes:
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise DataError(f"{path}: has {size} bytes; no file of MNIST has more than {_MAX_BYTES}")
    return path.read_bytes()


def _unpack(source: Path | str, packed: bytes) -> bytes:
    """Unpack one gzip file, however large it claims to be, to at most _MAX_BYTES."""
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        data = stream.decompress(packed, _MAX_BYTES + 1)
    except zlib.error as error:
        raise DataError(f"{source}: not a readable gzip file ({error})") from error
    if len(data) > _MAX_BYTES:
        raise DataError(f"{source}: unpacks to more than {_MAX_BYTES} bytes")
    if not stream.eof:
        raise DataError(f"{source}: the gzip file is truncated")
    return data


def _check(source: Path | str, name: str, data: bytes) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != MNIST_SHA256[name]:
        raise DataError(
            f"{source}: sha256 of the unpacked file is {actual}, MNIST's is {MNIST_SHA256[name]}"
        )


def _download(mirror: str, cache: Path) -> None:
    """Fetch all four files into the cache, or leave it as it was."""
    fetched: dict[str, bytes] = {}
    for name in MNIST_SHA256:
        address = f"{mirror}/{name}.gz"
        with urllib.request.urlopen(  # noqa: S310 - the address is a constant with https
            address, timeout=_DOWNLOAD_TIMEOUT_SECONDS
        ) as reply:
            packed = reply.read(_MAX_BYTES)
        _check(address, name, _unpack(address, packed))
        fetched[name] = packed
    cache.mkdir(parents=True, exist_ok=True)
    for name, packed in fetched.items():
        partial = cache / f".{name}.{os.getpid()}"
        partial.write_bytes(packed)
        partial.replace(cache / f"{name}.gz")
