"""The model versions that answer now, found by name and by version or label."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from server.errors import NotFound
from server.model import Model

# What answers where a request names no model, if it is there; else the first by name.
PREFERRED: Final = "mlp"


class Catalogue:
    """An unchanging set of models; a request without a version gets the newest."""

    def __init__(
        self,
        models: Iterable[Model] = (),
        *,
        default: str | None = None,
        labels: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self.versions: dict[str, dict[str, Model]] = {}
        for model in sorted(models, key=lambda model: (model.name, model.manifest.version)):
            self.versions.setdefault(model.name, {})[model.version] = model
        self.newest = {name: list(of.values())[-1] for name, of in self.versions.items()}
        self.labels = dict(labels or {})  # (model, label) -> version
        self.default = default or next(iter([*{PREFERRED} & {*self.versions}, *self.versions]), "")

    def find(self, name: str, version: str) -> Model:
        """A model by name and by version or label; empty ones as in Repository.find."""
        name = name or self.default
        version = self.labels.get((name, version), version)
        model = self.versions.get(name, {}).get(version) if version else self.newest.get(name)
        if model is None:
            raise NotFound(self._describe_absence(name, version))
        return model

    def _describe_absence(self, name: str, version: str) -> str:
        # What the caller sent is quoted and cut: it may be anything.
        if name not in self.versions:
            return f"no model {name[:64]!r}; there are {', '.join(self.versions) or 'none'}"
        labels = [label for (model, label) in self.labels if model == name]
        there = ", ".join([*self.versions[name], *labels])
        return f"model {name} has no version {version[:16]!r}; there are {there}"


class Repository:
    """The catalogue that answers now; `swap` replaces it between two requests.

    A request holds the model that it found until it is answered, so one that is swapped out is
    freed when its last request ends.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def swap(self, catalogue: Catalogue) -> None:
        """Answer from another catalogue from now on."""
        self._catalogue = catalogue

    @property
    def default(self) -> str:
        """The name that answers where a request names none."""
        return self._catalogue.default

    def find(self, name: str, version: str = "") -> Model:
        """A model by name (empty: the default) and version or label (empty: the newest).

        Raises NotFound.
        """
        return self._catalogue.find(name, version)

    def versions(self, name: str) -> list[str]:
        """The versions of a model, oldest first."""
        return list(self._catalogue.versions.get(name, {}))

    def __iter__(self) -> Iterator[Model]:
        versions = self._catalogue.versions.values()
        return (model for of_name in versions for model in of_name.values())
