"""Keep finished rows on disk, so that an interrupted study goes on where it stopped."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from trainer.study.outcome import Outcome

_LIBRARIES: Final = ("numpy", "scikit-learn", "torch")


@dataclass(frozen=True, slots=True)
class Store:
    """Outcomes in a folder, one file each, named by all that they depend on."""

    folder: Path
    base: dict[str, Any]  # what every row depends on: data, code, versions

    def get(self, row: dict[str, Any]) -> Outcome | None:
        """The outcome of a row, or None where there is none, or a damaged one."""
        try:
            record = json.loads(self._path(row).read_text(encoding="utf-8"))
            return Outcome.from_json(record["outcome"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, row: dict[str, Any], outcome: Outcome) -> None:
        """Keep an outcome, whole or not at all."""
        record = {"row": row, **self.base, "outcome": outcome.to_json()}
        write_whole(self._path(row), json.dumps(record, ensure_ascii=False, indent=1) + "\n")

    def _path(self, row: dict[str, Any]) -> Path:
        key = json.dumps({"row": row, **self.base}, sort_keys=True)
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"


def dependencies(data_sha256: Iterable[str], modules: Iterable[ModuleType]) -> dict[str, Any]:
    """What the rows of a study depend on: the data, the code of `modules`, the libraries."""
    code = hashlib.sha256()
    for module in modules:
        if module.__file__ is not None:
            code.update(Path(module.__file__).read_bytes())
    return {
        "data_sha256": list(data_sha256),
        "code_sha256": code.hexdigest(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
    }


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
