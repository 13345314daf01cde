"""Read, verify and publish model bundles: `models/<name>/<version>/`.

A bundle is the five files FILES and a manifest with their sha256. The manifest is written last,
into a folder outside the repository that is renamed into place: a bundle that can be seen was
finished. Everything here raises BundleError with the file and what is wrong with it.
"""

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import BundleError
from gurmukhi.image import SIDE
from gurmukhi.labels import CLASS_COUNT
from gurmukhi.manifest import FILES, GOLDEN, MANIFEST, Manifest, parse_manifest

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
# Of golden vectors unpacked: 1,000 of them with their scores take 1.1 MB.
_MAX_GOLDEN_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Golden:
    """Synthetic images with the native model's answers, for a server to prove itself on."""

    images: NDArray[np.uint8]  # (N, 32, 32)
    digits: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N, 10)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose manifest has been read; `read` verifies each file as it is used."""

    folder: Path
    manifest: Manifest

    def read(self, name: str) -> bytes:
        """The bytes of a file whose sha256 is the manifest's."""
        path = self.folder / name
        data = _read_bytes(path)
        actual, expected = hashlib.sha256(data).hexdigest(), self.manifest.files[name]
        if actual != expected:
            raise BundleError(f"{path}: sha256 is {actual}, the manifest says {expected}")
        return data

    def verify(self) -> None:
        """Check the sha256 of every file."""
        for name in self.manifest.files:
            self.read(name)

    def golden(self) -> Golden:
        """The golden vectors."""
        path, data = self.folder / GOLDEN, self.read(GOLDEN)
        try:
            _ensure_bounded(data)
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                # As arrays: NumPy gives the bytes of a file that does not begin as one.
                golden = Golden(*(np.asarray(arrays[n]) for n in ("images", "digits", "scores")))
        except Exception as error:  # a damaged archive makes NumPy raise nearly anything
            raise BundleError(f"{path}: not golden vectors ({error})") from error
        found = [
            (array.dtype, array.shape) for array in (golden.images, golden.digits, golden.scores)
        ]
        count = golden.digits.size
        expected = [
            (np.dtype(np.uint8), (count, SIDE, SIDE)),
            (np.dtype(np.int64), (count,)),
            (np.dtype(np.float32), (count, CLASS_COUNT)),
        ]
        if not count or found != expected:
            raise BundleError(f"{path}: images, digits and scores are {found}")
        return golden


def _ensure_bounded(archive: bytes) -> None:
    """Refuse an archive that unpacks to more than golden vectors could."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        size = sum(entry.file_size for entry in opened.infolist())
    if size > _MAX_GOLDEN_BYTES:
        raise ValueError(f"unpacks to {size} bytes; at most {_MAX_GOLDEN_BYTES} are read")


def find_bundles(repository: Path) -> list[Path]:
    """The folders `<name>/<version>` of a model repository, by name and then by number.

    Raises BundleError where it is not there or may not be read.
    """
    if not repository.is_dir():
        raise BundleError(f"{repository}: no such model repository")
    try:
        return _version_folders(repository)
    except OSError as error:
        where = error.filename or repository
        raise BundleError(f"{where}: cannot be read ({error.strerror})") from error


def _version_folders(repository: Path) -> list[Path]:
    return [
        folder / str(version)
        for folder in sorted(repository.iterdir())
        if _NAME.fullmatch(folder.name) and folder.is_dir()
        for version in sorted(
            int(entry.name)
            for entry in folder.iterdir()
            if _VERSION.fullmatch(entry.name) and entry.is_dir()
        )
    ]


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest and check that it belongs where it lies."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder}: no {MANIFEST}, so the bundle was never finished")
    manifest = parse_manifest(_read_bytes(path), path)
    place = "/".join(folder.absolute().parts[-2:])
    if place != f"{manifest.name}/{manifest.version}":
        raise BundleError(f"{path}: is of {manifest.name}/{manifest.version}, but lies in {place}")
    return Bundle(folder, manifest)


@contextmanager
def publishing(repository: Path, name: str, version: int) -> Iterator[Path]:
    """Give a folder to write a bundle in, and rename it into the repository at the end.

    The folder lies beside the repository; when the block raises it is removed and the
    repository stays as it was.
    """
    repository = repository.absolute()
    repository.mkdir(parents=True, exist_ok=True)
    unfinished = Path(
        tempfile.mkdtemp(dir=_beside(repository), prefix=f".{repository.name}-{name}-{version}-")
    )
    replaced = unfinished.with_name(f"{unfinished.name}-replaced")
    target = repository / name / str(version)
    try:
        yield unfinished
        if not (unfinished / MANIFEST).is_file():
            raise BundleError(f"{name}/{version}: the bundle has no manifest")
        unfinished.chmod(0o755)  # mkdtemp's folders are for their owner alone
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            target.rename(replaced)
        unfinished.rename(target)
    finally:
        if replaced.exists() and not target.exists():  # interrupted between the two
            replaced.rename(target)
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def _beside(repository: Path) -> Path:
    """The folder beside which a repository lies, unless it is another file system.

    A folder cannot be renamed from one to another. Into a repository that is a mounted volume
    bundles are written under a hidden name, which `find_bundles` passes over.
    """
    parent = repository.parent
    return parent if parent.stat().st_dev == repository.stat().st_dev else repository


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, durably and last, with the sha256 of the files that are there."""
    manifest = replace(manifest, files=_sha256_of_files(folder))
    for path in (folder / name for name in manifest.files):
        with path.open("rb") as written:
            os.fsync(written.fileno())
    with (folder / MANIFEST).open("w", encoding="utf-8") as out:
        json.dump(asdict(manifest), out, ensure_ascii=False, indent=2)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())


def _sha256_of_files(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256(_read_bytes(folder / name)).hexdigest() for name in FILES}


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
