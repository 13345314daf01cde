"""Splits are read alike from folders and archives, and what is wrong with them is named."""

import os
import random
import shutil
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_folders import IMAGES, LABELS, encode, files_of_split, write_folder, write_zip
from PIL import Image

from gurmukhi.dataset import PUBLISHED_SHA256, make_split, read_archive, read_folder, read_split
from gurmukhi.errors import DataError
from gurmukhi.image import decode
from gurmukhi.synthetic import synthetic_digits

REAL_COUNTS = {
    "train": [100] * 10,
    "test": [18, 16, 17, 17, 18, 18, 18, 18, 18, 20],
}
REAL_SHA256 = {
    "train": "2f755f843c0b41ad2dc830f0efdad9217c0f096afc739e3c2c3f2fe0a00953e3",
    "test": "13710789b7f7e4bb220dfb01fa537dc41eb20ba6c50a1bac9be872135bd57db1",
}


@pytest.mark.parametrize("name", ["train", "test"])
def test_the_real_split_has_the_published_counts_and_pixels(real_folder: Path, name: str) -> None:
    split = read_split(real_folder, name)  # type: ignore[arg-type]  # mypy widens the parameter
    assert np.bincount(split.labels).tolist() == REAL_COUNTS[name]
    assert split.sha256 == REAL_SHA256[name]
    assert split.images.dtype == np.uint8
    assert split.images.shape == (len(split), 32, 32)


def test_the_real_archive_and_its_folder_give_the_same_split(
    real_folder: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(real_folder / "val.zip") as archive:
        archive.extractall(tmp_path)
    packed, unpacked = read_archive(real_folder / "val.zip"), read_folder(tmp_path / "val")
    assert packed.names == unpacked.names
    assert packed.sha256 == unpacked.sha256


def test_no_real_digit_is_inverted_by_its_format(real_folder: Path) -> None:
    split = read_split(real_folder, "test")
    ink = (split.images == 0).mean(axis=(1, 2))
    is_tiff = np.array([name.endswith(".tiff") for name in split.names])
    assert np.count_nonzero(is_tiff) == 158
    assert ink[is_tiff].max() < 0.5
    assert ink[~is_tiff].max() < 0.5


def test_tiff_and_bmp_of_the_same_digits_decode_alike() -> None:
    for pixels in IMAGES:
        bmp = Image.fromarray(pixels).convert("1")
        assert np.array_equal(decode(encode(np.asarray(bmp), "BMP")).pixels, pixels)
        assert np.array_equal(decode(encode(pixels, "1-bit TIFF")).pixels, pixels)
        assert decode(encode(pixels, "1-bit TIFF")).warnings == ()


def test_archive_and_folder_give_the_same_split(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    archive = write_zip(tmp_path / "test.zip", files_of_split("val"))
    assert read_archive(archive).sha256 == read_folder(folder / "val").sha256


def test_images_are_in_the_order_of_class_and_number(tmp_path: Path) -> None:
    folder = write_folder(tmp_path) / "val"
    (folder / "3" / "100.png").write_bytes(encode(IMAGES[0]))
    names = [name for name in read_folder(folder).names if name.startswith("val/3/")]
    assert names == sorted(names, key=lambda name: int(Path(name).stem))
    assert read_folder(folder).labels.tolist() == sorted(read_folder(folder).labels)


def test_a_name_of_thousands_of_digits_is_sorted(tmp_path: Path) -> None:
    files = {**files_of_split("val"), f"val/3/{'1' * 6000}.png": encode(IMAGES[0])}
    assert len(read_archive(write_zip(tmp_path / "test.zip", files))) == 21


def test_the_sha256_is_of_labels_and_pixels_alone() -> None:
    split = make_split(IMAGES, LABELS, map(str, range(20)))
    assert split.sha256 == make_split(IMAGES.copy("F"), LABELS, map(str, range(20, 40))).sha256
    assert split.sha256 != make_split(IMAGES, LABELS[::-1], map(str, range(20))).sha256
    assert split.sha256 != make_split(IMAGES[::-1], LABELS, map(str, range(20))).sha256


def test_hidden_files_and_a_macs_extras_are_ignored(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "val" / ".DS_Store").write_bytes(b"x")
    (folder / "val" / "3" / "Thumbs.db").write_bytes(b"x")
    assert len(read_split(folder, "test")) == 20
    files = {**files_of_split("val"), "__MACOSX/val/3/._1.png": b"x", "val/3/.hidden/a.png": b"x"}
    assert len(read_archive(write_zip(tmp_path / "test.zip", files))) == 20


def test_a_pipe_and_an_empty_folder_among_the_images_are_passed_over(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    os.mkfifo(folder / "val" / "3" / "pipe.png")
    (folder / "val" / "3" / "3.bmp").mkdir()
    assert len(read_split(folder, "test")) == 20


def clear(folder: Path) -> Path:
    """Make a folder that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: shutil.rmtree(f), "no such folder"),
        (lambda f: shutil.rmtree(f / "val"), r"holds no test split; expected val\.zip, val/"),
        (lambda f: shutil.rmtree(f / "val" / "3"), r"val: no image of class 3; expected"),
        (lambda f: clear(f / "val"), "no image of class 0, 1,"),
        (lambda f: clear(f / "val").rename(f / "other"), "holds no test split"),
        (lambda f: (f / "val/3/a.png").write_bytes(b"x"), r"val/3/a\.png: not a PNG, BMP"),
        (lambda f: (f / "val/3/a.png").write_bytes(b""), r"val/3/a\.png: the image is empty"),
        (
            lambda f: (f / "val/3/a.png").write_bytes(encode(IMAGES[0])[:60]),
            r"val/3/a\.png: the PNG image of 32×32 ends after 60 bytes",
        ),
        (
            lambda f: (f / "val/3/a.png").write_bytes(encode(IMAGES[0][:, :20])),
            r"val/3/a\.png is 20×32; expected 32×32",
        ),
        (
            lambda f: (f / "val/3/a.png").write_bytes(encode(np.full((32, 32), 255, np.uint8))),
            r"val/3/a\.png: the image is blank",
        ),
        (
            lambda f: (f / "val/3/a.png").write_bytes(bytes((1 << 20) + 1)),
            r"val/3/a\.png has more than 1048576 bytes",
        ),
        (lambda f: (f / "val/notes.txt").write_text("x"), r"unexpected file 'val/notes\.txt'"),
        (lambda f: (f / "val/3").rename(f / "val/10"), r"unexpected file 'val/10/"),
        (lambda f: (f / "val/3").rename(f / "val/three"), r"unexpected file 'val/three/"),
        (
            lambda f: (clear(f / "val/3/3.bmp") / "1.png").write_bytes(b"x"),
            r"unexpected file 'val/3/3\.bmp/1\.png'",
        ),
    ],
)
def test_a_bad_folder_is_named(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    folder = write_folder(tmp_path / "digits")
    change(folder)
    with pytest.raises(DataError, match=message) as caught:
        read_split(folder, "test")
    assert str(caught.value).startswith(str(folder))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_class_that_may_not_be_listed_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "val" / "3").chmod(0)
    with pytest.raises(PermissionError, match="val/3"):
        read_split(folder, "test")


def link(target: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(target)
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("val/../../3.png", r"entry 'val/\.\./\.\./3\.png' lies outside"),
        ("/val/3/1.png", r"entry '/val/3/1\.png' lies outside"),
        ("..\\val\\3\\1.png", r"lies outside"),
        ("C:\\val\\3\\1.png", r"unexpected entry"),
        ("train/3/1.png", r"unexpected entry 'train/3/1\.png'"),
        ("readme.txt", r"unexpected entry 'readme\.txt'"),
        ("val/3", r"unexpected file 'val/3'"),
        ("val/3/a/1.png", r"unexpected file 'val/3/a/1\.png'"),
        (link("val/3/l.png"), r"entry 'val/3/l\.png' is a link"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, name: str | zipfile.ZipInfo, message: str) -> None:
    archive = write_zip(tmp_path / "test.zip", files_of_split("val"))
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name, encode(IMAGES[0]))
    with pytest.raises(DataError, match=message):
        read_archive(archive)


def test_backslashes_are_read_as_separators(tmp_path: Path) -> None:
    files = {name.replace("/", "\\"): data for name, data in files_of_split("val").items()}
    assert len(read_archive(write_zip(tmp_path / "test.zip", files))) == 20


def test_an_archive_of_a_published_name_must_be_the_published_one(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "val.zip", files_of_split("val"))
    with pytest.raises(
        DataError, match=rf"the published archive has {PUBLISHED_SHA256['val.zip']}"
    ):
        read_archive(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_stream_is_an_unreadable_archive(tmp_path: Path, method: int) -> None:
    archive = tmp_path / "test.zip"
    with zipfile.ZipFile(archive, "w", method) as opened:
        for name, data in files_of_split("val").items():
            opened.writestr(name, data)
        start = opened.infolist()[2].header_offset
    damaged = bytearray(archive.read_bytes())
    damaged[start + 60 : start + 90] = bytes(
        byte ^ 0xFF for byte in damaged[start + 60 : start + 90]
    )
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match=r"test\.zip: not a readable zip archive"):
        read_archive(archive)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "test.zip", files_of_split("val"))
    encrypted = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # where the flags lie
        place = encrypted.find(signature)
        while place >= 0:
            encrypted[place + offset] |= 1
            place = encrypted.find(signature, place + 1)
    archive.write_bytes(encrypted)
    with pytest.raises(DataError, match="encrypted"):
        read_archive(archive)


def test_a_bomb_is_not_unpacked_whatever_size_it_states(tmp_path: Path) -> None:
    size = 64 << 20
    archive = write_zip(tmp_path / "test.zip", {"val/3/1.png": bytes(size)})
    stated, lie = struct.pack("<I", size), struct.pack("<I", 100)
    for content in (archive.read_bytes(), archive.read_bytes().replace(stated, lie)):
        archive.write_bytes(content)
        tracemalloc.start()
        with pytest.raises(DataError):
            read_archive(archive)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20


def test_any_damage_to_an_archive_is_a_data_error(tmp_path: Path) -> None:
    sound = write_zip(tmp_path / "sound.zip", files_of_split("val")).read_bytes()
    archive, draw = tmp_path / "test.zip", random.Random(1)  # noqa: S311 - not for secrets
    for _ in range(300):
        damaged = bytearray(sound)
        for _ in range(draw.choice((1, 3, 30))):
            # Half of the damage to the directory at the end, where the names and sizes are.
            start = draw.choice((0, len(sound) * 3 // 4))
            damaged[draw.randrange(start, len(damaged))] = draw.randrange(256)
        if draw.random() < 0.2:
            del damaged[draw.randrange(len(damaged)) :]
        archive.write_bytes(damaged)
        try:
            split = read_archive(archive)
        except DataError as error:
            assert str(archive) in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert set(np.unique(split.images)) <= {0, 255}


def test_synthetic_digits_read_back_as_they_were_drawn() -> None:
    for pixels in synthetic_digits(500, 5)[0]:
        assert np.array_equal(decode(encode(pixels)).pixels, pixels)
