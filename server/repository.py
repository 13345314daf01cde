"""The model versions that a server has loaded, found by name and version."""

import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from gurmukhi.bundle import find_bundles
from gurmukhi.errors import BundleError
from server.errors import NotFound
from server.model import Model, load_model

# What answers where a request names no model, if it is there; else the first by name.
PREFERRED: Final = "mlp"

_log = logging.getLogger(__name__)


class Repository:
    """Loaded models; a request without a version gets the newest."""

    def __init__(self, models: Iterable[Model], default: str | None = None) -> None:
        self._versions: dict[str, dict[str, Model]] = {}
        for model in sorted(models, key=lambda model: (model.name, model.manifest.version)):
            self._versions.setdefault(model.name, {})[model.version] = model
        if not self._versions:
            raise BundleError("a server needs at least one model")
        if default is not None and default not in self._versions:
            raise BundleError(
                f"the default model {default!r} is not in the repository; "
                f"it has {', '.join(self._versions)}"
            )
        names = list(self._versions)
        self.default = default or (PREFERRED if PREFERRED in names else names[0])
        self._newest = {name: list(of.values())[-1] for name, of in self._versions.items()}

    @classmethod
    def load(cls, folder: Path, default: str | None = None) -> Self:
        """Load and prove every bundle of a repository; raises BundleError on the first bad one."""
        found = find_bundles(folder)
        if not found:
            raise BundleError(f"{folder}: holds no model; expected <name>/<version>/manifest.json")
        return cls((_load(bundle) for bundle in found), default)

    def find(self, name: str, version: str = "") -> Model:
        """A model by name (empty: the default) and version (empty: the newest); raises NotFound."""
        name = name or self.default
        model = self._versions.get(name, {}).get(version) if version else self._newest.get(name)
        if model is None:
            raise NotFound(self._describe_absence(name, version))
        return model

    def versions(self, name: str) -> list[str]:
        """The versions of a model, oldest first."""
        return list(self._versions.get(name, {}))

    def __iter__(self) -> Iterator[Model]:
        return (model for versions in self._versions.values() for model in versions.values())

    def _describe_absence(self, name: str, version: str) -> str:
        # What the caller sent is quoted and cut: it may be anything.
        if name not in self._versions:
            return f"no model {name[:64]!r}; there are {', '.join(self._versions)}"
        there = ", ".join(self._versions[name])
        return f"model {name} has no version {version[:16]!r}; there are {there}"


def _load(folder: Path) -> Model:
    started = time.perf_counter()
    model = load_model(folder)
    _log.info(
        "loaded %s/%s in %.0f ms, sha256 %s",
        model.name,
        model.version,
        (time.perf_counter() - started) * 1e3,
        model.sha256,
    )
    return model
