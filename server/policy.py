"""Which versions of a repository are to be served, and under which labels."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from gurmukhi.bundle import find_bundles
from gurmukhi.manifest import MANIFEST

_POLICY: Final = re.compile(r"all|latest:[1-9][0-9]*|specific:[1-9][0-9]*(,[1-9][0-9]*)*")
_LABEL: Final = re.compile(r"([a-z0-9][a-z0-9._-]*):([a-z]+)=([1-9][0-9]*)")

Key = tuple[str, str]  # a model's name and version


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle on disk, and how it looked: a change of its files is a new candidate."""

    key: Key
    folder: Path
    fingerprint: tuple[tuple[str, int, int], ...]  # file, size in bytes, modified in ns

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Look at a bundle's folder."""
        files = []
        for path in sorted(folder.iterdir()):
            status = path.stat()
            files.append((path.name, status.st_size, status.st_mtime_ns))
        return cls((folder.parent.name, folder.name), folder, tuple(files))

    @property
    def is_finished(self) -> bool:
        """Whether it has a manifest, which is written last."""
        return any(name == MANIFEST for name, *_ in self.fingerprint)


class VersionPolicy:
    """`all`, `latest:N` or `specific:N,N`, as Triton names them."""

    def __init__(self, text: str) -> None:
        if not _POLICY.fullmatch(text):
            raise ValueError("expected all, latest:N or specific:N,N")
        self._text = text

    def __str__(self) -> str:
        return self._text

    def choose(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """The candidates of one model that are to be served."""
        ordered = sorted(candidates, key=lambda candidate: int(candidate.key[1]))
        kind, _, numbers = self._text.partition(":")
        if kind == "latest":
            return ordered[-int(numbers) :]
        if kind == "specific":
            return [one for one in ordered if one.key[1] in numbers.split(",")]
        return ordered


def scan(repository: Path, policy: VersionPolicy) -> dict[Key, Candidate]:
    """The bundles of a repository that are to be served; raises BundleError."""
    by_name: dict[str, list[Candidate]] = {}
    for folder in find_bundles(repository):
        try:
            candidate = Candidate.of(folder)
        except OSError:  # it went between two looks
            continue
        by_name.setdefault(candidate.key[0], []).append(candidate)
    chosen = (policy.choose(candidates) for candidates in by_name.values())
    return {candidate.key: candidate for candidates in chosen for candidate in candidates}


def parse_labels(text: str) -> Mapping[Key, str]:
    """`mlp:stable=1,mlp:canary=2` → {("mlp", "stable"): "1", …}; raises ValueError."""
    labels: dict[Key, str] = {}
    for part in filter(None, text.split(",")):
        match = _LABEL.fullmatch(part)
        if not match:
            raise ValueError(f"{part!r} is no MODEL:LABEL=VERSION such as mlp:stable=1")
        key = match[1], match[2]
        if key in labels:
            raise ValueError(f"{':'.join(key)} is given twice")
        labels[key] = match[3]
    return labels
