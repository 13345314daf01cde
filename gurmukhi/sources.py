"""Find the data set: a folder, the local cache, its public home, or our own synthetic digits."""

import hashlib
import http.client
import logging
import os
import re
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from gurmukhi.command import DATA_HELP
from gurmukhi.dataset import (
    PUBLISHED_SHA256,
    Split,
    SplitName,
    holds_split,
    make_split,
    read_split,
)
from gurmukhi.errors import DataError
from gurmukhi.synthetic import synthetic_digits

_COMMIT: Final = "4e092c02070490ff87cf50bf5534b41d71c27175"
_PUBLIC_HOME: Final = (
    "https://raw.githubusercontent.com/revantteotia/gurumukhi-digit-classification/"
    f"{_COMMIT}/gurumukhi_digits_dataset"
)
_DOWNLOAD_TIMEOUT_SECONDS: Final = 5.0

# The archives have 278,336 and 57,048 bytes.
_MAX_DOWNLOAD_BYTES: Final = 1 << 20
# Fewer than ten images leave a class without one; more than this many take hours to fit.
_SYNTHETIC_LEAST: Final = 10
_SYNTHETIC_MOST: Final = 100_000
# The size of the real splits, and seeds that no other use of the generator shares.
_SYNTHETIC_SIZES: Final[dict[SplitName, int]] = {"train": 1000, "test": 178}
_SYNTHETIC_SEEDS: Final[dict[SplitName, int]] = {"train": 1, "test": 2}

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Where splits come from; `kind` and `location` are named in every report."""

    @property
    def kind(self) -> str: ...
    @property
    def location(self) -> str: ...
    def split(self, name: SplitName) -> Split:
        """Read one split; raises DataError."""
        ...


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Images on disk: `kind` is "real" for the published data set and "local" for any other."""

    folder: Path
    kind: str = "local"

    @property
    def location(self) -> str:
        return str(self.folder)

    def split(self, name: SplitName) -> Split:
        return read_split(self.folder, name)


@dataclass(frozen=True, slots=True)
class SyntheticSource:
    """Digits drawn by our own generator; never to be shown as real ones."""

    count: int | None = None  # images in each split; None draws as many as the real ones have
    kind: str = "synthetic"

    @property
    def location(self) -> str:
        return "generator" if self.count is None else f"generator, {self.count} images a split"

    def split(self, name: SplitName) -> Split:
        count = self.count or _SYNTHETIC_SIZES[name]
        images, labels = synthetic_digits(count, _SYNTHETIC_SEEDS[name])
        order = labels.argsort(kind="stable")  # a split is in the order of its classes
        names = (f"synthetic/{name}/{index}" for index in order)
        return make_split(images[order], labels[order], names)


def find_source(spec: str | None, environment: Mapping[str, str] = os.environ) -> Source:
    """Resolve a `--data` value; None is the automatic order.

    `real` ends in an error where the automatic order ends in synthetic digits.
    Raises DataError.
    """
    if spec is None or spec == "real":
        return _find_real(environment, or_synthetic=spec is None)
    if spec == "synthetic" or spec.startswith("synthetic:"):
        return SyntheticSource(_synthetic_count(spec))
    folder = Path(spec)
    if not folder.is_dir():
        raise DataError(f"--data {spec}: {_not_a_folder(folder)}; expected {DATA_HELP}")
    return FolderSource(folder, kind=_kind_of(folder))


def _not_a_folder(path: Path) -> str:
    return "is a file, not a folder" if path.exists() else "no such folder"


def _synthetic_count(spec: str) -> int | None:
    _, colon, count = spec.partition(":")
    if not colon:
        return None
    is_number = re.fullmatch("[0-9]{1,9}", count) is not None
    if not (is_number and _SYNTHETIC_LEAST <= int(count) <= _SYNTHETIC_MOST):
        raise DataError(
            f"--data {spec:.40}: expected synthetic:N with a whole number N "
            f"of {_SYNTHETIC_LEAST} to {_SYNTHETIC_MOST}"
        )
    return int(count)


def _find_real(environment: Mapping[str, str], *, or_synthetic: bool) -> Source:
    if given := environment.get("GURMUKHI_DATA_DIR"):
        folder = Path(given)
        if not folder.is_dir():
            raise DataError(f"GURMUKHI_DATA_DIR={given}: {_not_a_folder(folder)}")
        return FolderSource(folder, kind=_kind_of(folder))
    cache = _cache_folder(environment)
    if not all(holds_split(cache, split) for split in _SYNTHETIC_SIZES):
        try:
            _download(cache)
        except (OSError, http.client.HTTPException, DataError) as error:
            if not or_synthetic:
                raise DataError(
                    f"the real digits are neither in $GURMUKHI_DATA_DIR (not set) nor in {cache}, "
                    f"and could not be fetched from {_PUBLIC_HOME}: {error}"
                ) from error
            _log.warning(
                "the real digits are not here (GURMUKHI_DATA_DIR is not set, nothing in %s, "
                "download failed: %s): using SYNTHETIC digits",
                cache,
                error,
            )
            return SyntheticSource()
    return FolderSource(cache, kind="real")


def _kind_of(folder: Path) -> str:
    """The published archives are checked against their sha256 when read, so the name is enough."""
    return "real" if all((folder / name).is_file() for name in PUBLISHED_SHA256) else "local"


def _cache_folder(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else _home() / ".cache") / "gurmukhi-digits" / _COMMIT


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # in a container, a user without a name and without $HOME
        return Path(tempfile.gettempdir())


def _download(cache: Path) -> None:
    """Fetch both archives whole into the cache, or leave it as it was."""
    fetched: dict[str, bytes] = {}
    for name, expected in PUBLISHED_SHA256.items():
        with urllib.request.urlopen(  # noqa: S310 - the address is a constant with https
            f"{_PUBLIC_HOME}/{name}", timeout=_DOWNLOAD_TIMEOUT_SECONDS
        ) as reply:
            fetched[name] = reply.read(_MAX_DOWNLOAD_BYTES)
        actual = hashlib.sha256(fetched[name]).hexdigest()
        if actual != expected:
            raise DataError(f"{_PUBLIC_HOME}/{name}: sha256 is {actual}, expected {expected}")
    cache.mkdir(parents=True, exist_ok=True)
    for name, data in fetched.items():
        partial = cache / f".{name}.{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(cache / name)
