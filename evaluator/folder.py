"""Walk a folder of labelled pictures, one at a time: `<folder>/<digit>/<picture>`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.dataset import quiet_libtiff
from gurmukhi.errors import DataError, ImageError
from gurmukhi.image import decode
from gurmukhi.labels import CLASS_COUNT

# A phone's picture has some ten megabytes.
_MAX_FILE_BYTES: Final = 64 << 20
_IGNORED: Final = ("thumbs.db", "desktop.ini")  # and whatever begins with a dot
_CLASSES: Final = tuple(str(digit) for digit in range(CLASS_COUNT))


def holds_classes(folder: Path) -> bool:
    """Whether a folder has any of the classes 0 to 9 right in it."""
    return any((folder / name).is_dir() for name in _CLASSES)


def count_pictures(folder: Path) -> int:
    """How many pictures a folder holds; raises DataError where it holds anything else, or none."""
    for path in _entries(folder):
        if path.name not in _CLASSES:
            raise DataError(f"{path}: unexpected; expected {folder}/<digit 0 to 9>/<picture>")
    count = sum(1 for _ in _files(folder))
    if not count:
        raise DataError(f"{folder}: holds no picture in 0/ to {_CLASSES[-1]}/")
    return count


def read_pictures(folder: Path) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Each picture fitted to (32, 32), and its label; raises DataError with the file."""
    for path, label in _files(folder):
        with path.open("rb") as opened:
            data = opened.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise DataError(f"{path}: has more than {_MAX_FILE_BYTES} bytes")
        try:
            with quiet_libtiff():
                pixels = decode(data).pixels
        except ImageError as error:
            raise DataError(f"{path}: {error}") from error
        yield pixels, label


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """The files of each class in turn. They are not sorted: a list of names grows without end."""
    for label, name in enumerate(_CLASSES):
        if (folder / name).is_dir():
            for path in _entries(folder / name):
                if not path.is_file():
                    raise DataError(f"{path}: is no file; expected {folder}/{name}/<picture>")
                yield path, label


def _entries(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as found:
        for entry in found:
            if not entry.name.startswith(".") and entry.name.lower() not in _IGNORED:
                yield Path(entry.path)
