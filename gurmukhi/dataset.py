"""Read labelled digits from folders and zip archives into splits."""

import hashlib
import io
import lzma
import os
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import DataError, ImageError
from gurmukhi.image import SIDE, fit_frame, read_grey
from gurmukhi.labels import CLASS_COUNT

SplitName = Literal["train", "test"]

# What the files and folders of a split are called. The published results call `val` the test set.
_STEMS: Final[dict[SplitName, tuple[str, ...]]] = {"train": ("train",), "test": ("val", "test")}

# The published archives, by name.
PUBLISHED_SHA256: Final = {
    "train.zip": "e31f4ee15538f89e3c3a30a9806c57223c504a9b2306d1c9a6aea4745ea90b5c",
    "val.zip": "0b3706819f4941ff09eac53fbeb92dc79efd102b45b2d973da0489e65c5b8729",
}

# An image of the data set has some 300 bytes; a file past this is no such image.
_MAX_FILE_BYTES: Final = 1 << 20
# What a damaged, encrypted or hostile archive makes the standard library raise.
_ZIP_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)
_IGNORED: Final = re.compile(r"(^|/)(\.|__MACOSX/|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Split:
    """Labelled images in a fixed order: by class, then by file name as a person would count."""

    images: NDArray[np.uint8]  # (N, 32, 32), 0 ink and 255 paper
    labels: NDArray[np.int64]  # (N,)
    names: tuple[str, ...]  # (N,) such as "val/3/17.tiff"
    sha256: str  # of the labels and pixels, however they were stored

    def __len__(self) -> int:
        return len(self.labels)


def make_split(images: NDArray[np.uint8], labels: NDArray[np.int64], names: Iterable[str]) -> Split:
    """Bundle arrays into a split and compute its sha256."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(labels, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(images, dtype=np.uint8).tobytes())
    return Split(images, labels, tuple(names), digest.hexdigest())


def holds_split(folder: Path, split: SplitName) -> bool:
    """Whether a folder has the archive or the sub-folder of a split."""
    return _locate(folder, split) is not None


def read_split(folder: Path, split: SplitName) -> Split:
    """Read `train` or `test` from a folder with `train.zip` and `val.zip`, or `train/` and `val/`.

    An archive of a published name must have the published sha256.
    Raises DataError with the file and what is wrong with it.
    """
    location = _locate(folder, split)
    if location is None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        expected = " or ".join(f"{stem}.zip, {stem}/" for stem in _STEMS[split])
        raise DataError(f"{folder}: holds no {split} split; expected {expected}")
    return read_archive(location) if location.is_file() else read_folder(location)


def _locate(folder: Path, split: SplitName) -> Path | None:
    for stem in _STEMS[split]:
        if (archive := folder / f"{stem}.zip").is_file():
            return archive
        if (subfolder := folder / stem).is_dir():
            return subfolder
    return None


def read_folder(folder: Path) -> Split:
    """Read `<folder>/<digit>/<image>` files; raises DataError."""
    return _assemble(folder, _folder_files(folder))


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for parent, _, files in os.walk(folder, onerror=_raise):
        for path in (Path(parent, file) for file in files):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            if _IGNORED.search(name) or not path.is_file():
                continue
            with path.open("rb") as opened:
                data = opened.read(_MAX_FILE_BYTES + 1)
            yield name, _bounded(folder, name, data)


def _raise(error: OSError) -> None:
    """Have a folder that may not be listed end the walk; it would be passed over in silence."""
    raise error


def read_archive(archive: Path) -> Split:
    """Read a zip of `<split>/<digit>/<image>` files; raises DataError.

    An archive of a published name must have the published sha256; other data comes in folders.
    """
    data = archive.read_bytes()
    split = _assemble(archive, _archive_files(archive, io.BytesIO(data)))
    actual, expected = hashlib.sha256(data).hexdigest(), PUBLISHED_SHA256.get(archive.name)
    if expected is not None and actual != expected:
        raise DataError(
            f"{archive}: sha256 is {actual}, the published archive has {expected}; "
            f"to use other data unpack it into {archive.stem}/"
        )
    return split


def _archive_files(archive: Path, data: BinaryIO) -> Iterator[tuple[str, bytes]]:
    stems = next(names for names in _STEMS.values() if archive.stem in names)
    try:
        with zipfile.ZipFile(data) as opened:
            for member in opened.infolist():
                path = PurePosixPath(member.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts:
                    raise DataError(
                        f"{archive}: the entry {member.filename!r} lies outside the archive"
                    )
                if member.is_dir() or _IGNORED.search(path.as_posix()):
                    continue
                if path.parts[0] not in stems:
                    raise DataError(
                        f"{archive}: unexpected entry {member.filename!r}; "
                        f"expected {archive.stem}/<digit>/<image>"
                    )
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise DataError(f"{archive}: the entry {member.filename!r} is a link")
                # Whatever size the header states: no more than this is ever unpacked.
                with opened.open(member) as packed:
                    unpacked = packed.read(_MAX_FILE_BYTES + 1)
                yield path.as_posix(), _bounded(archive, path.as_posix(), unpacked)
    except _ZIP_ERRORS as error:
        raise DataError(f"{archive}: not a readable zip archive ({error})") from error


def _bounded(source: Path, name: str, data: bytes) -> bytes:
    if len(data) > _MAX_FILE_BYTES:
        raise DataError(f"{source}: {name} has more than {_MAX_FILE_BYTES} bytes")
    return data


def _assemble(source: Path, files: Iterable[tuple[str, bytes]]) -> Split:
    found: list[tuple[int, list[str | int], str, NDArray[np.uint8]]] = []
    for name, data in files:
        label = _label_of(source, name)
        found.append((label, _natural(name), name, _read_digit(source, name, data)))
    missing = sorted(set(range(CLASS_COUNT)) - {label for label, *_ in found})
    if missing:
        classes = ", ".join(map(str, missing))
        raise DataError(
            f"{source}: no image of class {classes}; expected the classes 0 to {CLASS_COUNT - 1}"
        )
    found.sort(key=lambda entry: entry[:3])
    return make_split(
        np.stack([pixels for *_, pixels in found]),
        np.array([label for label, *_ in found], dtype=np.int64),
        [name for _, _, name, _ in found],
    )


def _label_of(source: Path, name: str) -> int:
    parts = PurePosixPath(name).parts
    digits = [str(digit) for digit in range(CLASS_COUNT)]
    if len(parts) != 3 or parts[1] not in digits:
        raise DataError(
            f"{source}: unexpected file {name!r}; expected {parts[0]}/<digit 0 to 9>/<image>"
        )
    return int(parts[1])


def _read_digit(source: Path, name: str, data: bytes) -> NDArray[np.uint8]:
    try:
        with quiet_libtiff():
            grey = read_grey(data)
        if grey.shape != (SIDE, SIDE):
            height, width = grey.shape
            raise DataError(f"{source}: {name} is {width}×{height}; expected {SIDE}×{SIDE}")
        return fit_frame(grey).pixels
    except ImageError as error:
        raise DataError(f"{source}: {name}: {error}") from error


@contextmanager
def quiet_libtiff() -> Iterator[None]:
    """Keep libtiff's own complaints off standard error: our error says what is wrong, and where.

    It writes to file descriptor 2 and, as Pillow builds it, cannot be told not to.
    """
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def _natural(name: str) -> list[str | int]:
    """Sort key under which 2.bmp comes before 10.bmp; text and numbers alternate in it."""
    # int() refuses numbers of thousands of digits; longer ones fall into several.
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d{1,18})", name)]
