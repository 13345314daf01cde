"""MNIST is read from IDX files, gzipped or plain, and proven by its sha256."""

import gzip
import hashlib
import os
import struct
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gurmukhi import mnist
from gurmukhi.errors import DataError
from gurmukhi.mnist import find_mnist, parse_idx, read_mnist


def idx(values: Any) -> bytes:
    array = np.asarray(values, np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four tiny files, one of them plain, whose sha256 are the expected ones."""
    contents = {
        "train-images-idx3-ubyte": idx(np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256),
        "train-labels-idx1-ubyte": idx([1, 2, 3]),
        "t10k-images-idx3-ubyte": idx(np.zeros((2, 28, 28))),
        "t10k-labels-idx1-ubyte": idx([9, 0]),
    }
    for name, data in contents.items():
        monkeypatch.setitem(mnist.MNIST_SHA256, name, hashlib.sha256(data).hexdigest())
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data))
    plain = tmp_path / "t10k-labels-idx1-ubyte"
    plain.with_name(f"{plain.name}.gz").unlink()
    plain.write_bytes(contents[plain.name])
    return tmp_path


def test_gzipped_and_plain_files_are_read(tiny: Path) -> None:
    data = read_mnist(tiny)
    assert data.train_images.shape == (3, 28, 28)
    assert data.train_images[0, 0, 5] == 5
    assert data.train_labels.tolist() == [1, 2, 3]
    assert data.test_labels.tolist() == [9, 0]
    assert data.test_labels.dtype == np.int64


def test_a_file_with_another_sha256_is_named(tiny: Path) -> None:
    (tiny / "t10k-labels-idx1-ubyte").write_bytes(idx([9, 1]))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte: sha256 .* MNIST's is"):
        read_mnist(tiny)


def test_a_missing_file_is_named(tiny: Path) -> None:
    (tiny / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"neither train-labels-idx1-ubyte nor .*\.gz"):
        read_mnist(tiny)


def test_a_truncated_gzip_file_is_named(tiny: Path) -> None:
    path = tiny / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: the gzip file is truncated"):
        read_mnist(tiny)


def test_a_file_that_is_no_gzip_is_named(tiny: Path) -> None:
    (tiny / "train-images-idx3-ubyte.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="not a readable gzip file"):
        read_mnist(tiny)


def test_a_gzip_bomb_is_not_unpacked(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "_MAX_BYTES", 1000)
    (tiny / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(10_000)))
    with pytest.raises(DataError, match="unpacks to more than 1000 bytes"):
        read_mnist(tiny)


def test_a_plain_file_past_the_limit_is_not_read(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "_MAX_BYTES", 9)
    path = tiny / "train-images-idx3-ubyte"
    path.write_bytes(bytes(10))
    with pytest.raises(DataError, match="has 10 bytes"):
        read_mnist(tiny)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes are no IDX file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "starts with 00000d01"),
        (b"\x00\x00\x08\x03\x00\x00", "ends inside its header of 16 bytes"),
        (idx([1, 2, 3])[:-1], "holds 2 values; its header says 3"),
        (idx([1, 2, 3]) + b"\x00", "holds 4 values; its header says 3"),
    ],
)
def test_a_damaged_idx_file_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"file: {message}"):
        parse_idx(data, name="file")


@given(st.binary(max_size=64))
def test_any_bytes_are_an_array_or_a_data_error(data: bytes) -> None:
    try:
        array = parse_idx(data, name="file")
    except DataError:
        return
    assert idx(array) == data


def test_the_environment_names_the_folder(tiny: Path) -> None:
    assert find_mnist({"MNIST_DATA_DIR": str(tiny)}) == tiny


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MNIST_DATA_DIR=.*nowhere: no such folder"):
        find_mnist({"MNIST_DATA_DIR": str(tmp_path / "nowhere")})


def refuse(*_: object, **__: object) -> None:
    raise urllib.error.URLError("no network")


def test_without_mnist_one_line_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(DataError, match="set MNIST_DATA_DIR to it") as caught:
        find_mnist({"XDG_CACHE_HOME": str(tmp_path)})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    assert not list(tmp_path.iterdir())


def test_a_filled_cache_needs_no_network(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    cache = tmp_path / "gurmukhi-digits" / "mnist"
    cache.mkdir(parents=True)
    for name in mnist.MNIST_SHA256:
        (cache / f"{name}.gz").write_bytes(b"")
    assert find_mnist({"XDG_CACHE_HOME": str(tmp_path)}) == cache


def test_the_first_mirror_that_answers_fills_the_cache(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny / "t10k-labels-idx1-ubyte"
    served = {path.name: path.read_bytes() for path in tiny.glob("*.gz")}
    served[f"{plain.name}.gz"] = gzip.compress(plain.read_bytes())

    class Reply:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def __enter__(self) -> "Reply":
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, limit: int) -> bytes:
            return self.body[:limit]

    def answer(address: str, *, timeout: float) -> Reply:
        assert timeout > 0
        if "s3" in address:
            raise urllib.error.URLError("down")
        return Reply(served[address.rpartition("/")[2]])

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    cache = find_mnist({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert read_mnist(cache).train_labels.tolist() == [1, 2, 3]


@pytest.mark.skipif("MNIST_DATA_DIR" not in os.environ, reason="MNIST_DATA_DIR is not set")
def test_the_real_files_hold_seventy_thousand_images() -> None:
    data = read_mnist(find_mnist())
    assert data.train_images.shape == (60000, 28, 28)
    assert data.test_images.shape == (10000, 28, 28)
    assert np.bincount(data.test_labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
