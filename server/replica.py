"""The models of one process: changed in two phases, verified first and switched then."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from gurmukhi.errors import BundleError
from server.memory import settle, share_heap
from server.model import Model, load_model
from server.policy import Candidate, Key
from server.repository import Catalogue, Repository

Failures = dict[Key, str]  # why a version could not be loaded

_log = logging.getLogger(__name__)


class Replica(Protocol):
    """A process that serves models, here or elsewhere."""

    def prepare(self, wanted: Mapping[Key, Candidate]) -> Failures:
        """Load and prove what is not loaded yet, while the old models answer on."""
        ...

    def commit(self, wanted: Mapping[Key, Candidate], failures: Failures) -> None:
        """Switch to what was prepared; a version that failed somewhere stays as it was."""
        ...


class LocalReplica:
    """A replica in this process."""

    def __init__(
        self,
        repository: Repository,
        *,
        default: str | None,
        labels: Mapping[Key, str],
        on_change: Callable[[Repository, Failures], None],
    ) -> None:
        share_heap()
        self._repository = repository
        self._default = default
        self._labels = labels
        self._on_change = on_change
        self._lock = threading.Lock()
        self._serving: dict[Key, tuple[Candidate, Model]] = {}
        self._prepared: dict[Key, tuple[Candidate, Model]] = {}

    def prepare(self, wanted: Mapping[Key, Candidate]) -> Failures:
        failures: Failures = {}
        with self._lock:
            self._prepared = {}
            for key, candidate in wanted.items():
                current = self._serving.get(key)
                if current and current[0] == candidate:
                    continue
                try:
                    self._prepared[key] = (candidate, _load(candidate))
                except (BundleError, OSError) as error:
                    failures[key] = str(error)
        return failures

    def commit(self, wanted: Mapping[Key, Candidate], failures: Failures) -> None:
        with self._lock:
            serving = {}
            for key in wanted:
                prepared = None if key in failures else self._prepared.get(key)
                if entry := prepared or self._serving.get(key):
                    serving[key] = entry
            self._serving, self._prepared = serving, {}
            models = [model for _, model in serving.values()]
            catalogue = Catalogue(models, default=self._default, labels=self._labels)
            self._default = catalogue.default  # no other takes its place when it is unloaded
            self._repository.swap(catalogue)
        self._on_change(self._repository, failures)
        settle()


def _load(candidate: Candidate) -> Model:
    started = time.perf_counter()
    # A worker that starts later must not take up what has been put in a version's place since.
    if Candidate.of(candidate.folder) != candidate:
        raise BundleError(f"{candidate.folder}: its files changed since the version was chosen")
    model = load_model(candidate.folder)
    _log.info(
        "loaded",
        extra={
            "fields": {
                "model": model.name,
                "version": model.version,
                "sha256": model.sha256,
                "milliseconds": round((time.perf_counter() - started) * 1e3),
            }
        },
    )
    return model
