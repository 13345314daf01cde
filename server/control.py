"""Which versions are served: decided here, carried out by every replica in two phases."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

from gurmukhi.errors import BundleError
from server.errors import NotFound, NotReady, Unsupported
from server.policy import Candidate, Key, VersionPolicy, scan
from server.replica import Failures, Replica

T = TypeVar("T")
Mode = Literal["none", "poll", "explicit"]
MODES: Final[tuple[Mode, ...]] = ("none", "poll", "explicit")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version of the repository, and whether it is served."""

    name: str
    version: str
    state: str  # READY or UNAVAILABLE
    reason: str = ""


class Control(Protocol):
    """Model control as services see it: ModelControl, here or in the parent process."""

    def index(self) -> Sequence[IndexEntry]:
        """Every version that is served, in the repository, or failing."""
        ...

    def load(self, name: str) -> None:
        """Load or reload every version of a model; raises ServiceError."""
        ...

    def unload(self, name: str) -> None:
        """Stop serving a model; raises ServiceError."""
        ...


class ModelControl:
    """Brings replicas to the wanted versions: once, by polling, or when told.

    `replicas` gives those that run now; `on_outcome` hears of each attempt to load a version.
    """

    def __init__(
        self,
        repository: Path,
        policy: VersionPolicy,
        mode: Mode,
        replicas: Callable[[], Sequence[Replica]],
        on_outcome: Callable[[Key, bool], None],
    ) -> None:
        self._repository = repository
        self._policy = policy
        self._mode = mode
        self._replicas = replicas
        self._on_outcome = on_outcome
        self._lock = threading.RLock()
        self.wanted: dict[Key, Candidate] = {}
        self.failures: Failures = {}
        self._applied: dict[Key, Candidate] = {}  # what was asked for last

    def start(self, default: str | None = None) -> None:
        """Load what the repository has.

        Raises BundleError where any of it is bad, or where it lacks the default model.
        """
        candidates = choose(self._repository, self._policy, self._mode)
        names = sorted({name for name, _ in candidates})
        if default is not None and default not in names:
            raise BundleError(
                f"the default model {default!r} is not in {self._repository}; "
                f"it has {', '.join(names)}"
            )
        with self._lock:
            self._apply(candidates)
            if self.failures:
                raise BundleError(next(iter(self.failures.values())))

    def poll(self) -> None:
        """Take up what has changed on disk since the last time."""
        with self._lock:
            try:
                candidates = _finished(scan(self._repository, self._policy))
            except BundleError as error:
                _log.error("the repository cannot be read: %s", error)
                return
            if not candidates:  # a volume that went away is no wish to serve nothing
                if self.wanted:
                    _log.error("%s holds no model: serving on", self._repository)
                return
            # A version that failed is tried again when its files have changed.
            if candidates != self._applied:
                self._apply(candidates)
                self._log_failures()

    def load(self, name: str) -> None:
        """Load or reload every version of a model; raises ServiceError."""
        with self._lock:
            self._require_explicit()
            found = {
                key: candidate
                for key, candidate in self._scan_or_refuse().items()
                if key[0] == name
            }
            if not found:
                raise NotFound(f"the repository has no model {name[:64]!r}")
            self._apply({**_without(self.wanted, name), **found}, _without(self.failures, name))
            self._log_failures()
            reasons = [reason for key, reason in self.failures.items() if key[0] == name]
            if reasons:
                raise NotReady(f"{reasons[0]}; what was served before is served on")

    def unload(self, name: str) -> None:
        """Stop serving a model; raises ServiceError."""
        with self._lock:
            self._require_explicit()
            remaining = _without(self.wanted, name)
            if len(remaining) == len(self.wanted):
                raise NotFound(f"no model {name[:64]!r} is served")
            self._apply(remaining, _without(self.failures, name))

    def index(self) -> list[IndexEntry]:
        """Every version that is served, in the repository, or failing."""
        with self._lock:
            entries = {key: IndexEntry(*key, "READY") for key in self.wanted}
            try:
                on_disk = scan(self._repository, VersionPolicy("all"))
            except BundleError:
                on_disk = {}
            for key in on_disk:
                entries.setdefault(key, IndexEntry(*key, "UNAVAILABLE", "not loaded"))
            for key, reason in self.failures.items():
                state = "READY" if key in self.wanted else "UNAVAILABLE"
                entries[key] = IndexEntry(*key, state, reason)
        return [entries[key] for key in sorted(entries, key=lambda key: (key[0], int(key[1])))]

    def bring(self, replica: Replica) -> None:
        """Give a replica that was started later what the others serve.

        What has gone bad on disk meanwhile it does without, and says so in the log and in health.
        """
        with self._lock:
            failures = replica.prepare(self.wanted)
            for reason in failures.values():
                _log.error("not loaded by a new worker: %s", reason)
            replica.commit(self.wanted, {**self.failures, **failures})

    def _apply(self, candidates: dict[Key, Candidate], known: Failures | None = None) -> None:
        """All verify, then all switch; what fails anywhere changes nowhere.

        `known` are failures of models that this is not about; they stay.
        """
        self._applied = candidates
        replicas = self._replicas()
        failures: Failures = {}
        for replica in replicas:
            failures.update(replica.prepare(candidates))
        # Until all that is to replace a model's versions has been proven, they stay.
        failing = {name for name, _ in failures}
        kept = {key: one for key, one in self.wanted.items() if key[0] in failing}
        candidates = {**kept, **candidates}
        self.failures = {**(known or {}), **failures}
        for key in candidates:  # counted before anybody is told, so that who is told finds it
            if self.wanted.get(key) != candidates[key]:
                self._on_outcome(key, key not in failures)
        for replica in replicas:
            replica.commit(candidates, self.failures)
        self.wanted = {
            key: served
            for key, candidate in candidates.items()
            if (served := self.wanted.get(key) if key in failures else candidate)
        }

    def _log_failures(self) -> None:
        for reason in self.failures.values():
            _log.error("not loaded, what was served before is served on: %s", reason)

    def _scan_or_refuse(self) -> dict[Key, Candidate]:
        try:
            return scan(self._repository, self._policy)
        except BundleError as error:
            raise NotReady(str(error)) from error

    def _require_explicit(self) -> None:
        if self._mode != "explicit":
            raise Unsupported(
                f"models are loaded and unloaded by call under --model-control explicit alone; "
                f"this server has {self._mode}"
            )


def choose(repository: Path, policy: VersionPolicy, mode: Mode) -> dict[Key, Candidate]:
    """The versions that a start loads; raises BundleError where there are none."""
    candidates = scan(repository, policy)
    if mode == "poll":
        candidates = _finished(candidates)
    if not candidates:
        raise BundleError(
            f"{repository}: holds no model that is to be served; "
            f"expected <name>/<version>/manifest.json"
        )
    return candidates


def _without(table: dict[Key, T], name: str) -> dict[Key, T]:
    """A table without the versions of one model."""
    return {key: value for key, value in table.items() if key[0] != name}


def _finished(candidates: dict[Key, Candidate]) -> dict[Key, Candidate]:
    return {key: candidate for key, candidate in candidates.items() if candidate.is_finished}
