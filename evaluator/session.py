"""Hold what a run is about: the bundles, the images, and what has been answered so far."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluator.replay import Replay
from evaluator.results import Result
from evaluator.settings import Settings
from evaluator.stream import Stream, Tally
from evaluator.target import Target
from gurmukhi.audit import measure_leakage
from gurmukhi.bundle import Bundle, find_bundles, read_bundle
from gurmukhi.dataset import Split
from gurmukhi.errors import BundleError, DataError
from gurmukhi.evaluation import Evaluation
from gurmukhi.manifest import DataOrigin, Manifest
from gurmukhi.sources import Source

if TYPE_CHECKING:
    from evaluator.baseline import Baseline


@dataclass(slots=True)
class Subject:
    """One model version under test, and what is known of it so far."""

    name: str
    version: str
    bundle: Bundle | None = None  # None where `fault` says why it cannot be read
    evaluation: Evaluation | None = None
    fault: str = ""
    served_sha256: str = ""
    replay: Replay | None = None  # one image a call
    under_load: dict[str, Replay] = field(default_factory=dict)  # how -> answers
    blocked: str = ""  # why the checks that follow are pointless

    @property
    def key(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def origin(self) -> DataOrigin | None:
        """The data that the bundle was evaluated on; None where it cannot be read."""
        return self.bundle.manifest.data if self.bundle else None

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest; raises BundleError where the bundle cannot be read."""
        if self.bundle is None:
            raise BundleError(self.fault)
        return self.bundle.manifest

    @property
    def offline(self) -> Evaluation:
        """The native model's answers; raises BundleError where the bundle cannot be read."""
        if self.evaluation is None:
            raise BundleError(self.fault)
        return self.evaluation


@dataclass(slots=True)
class Session:
    """One run: addresses held against a repository of bundles on a test split."""

    targets: list[Target]  # every address
    source: Source | Stream
    split: Split  # empty for a stream
    subjects: list[Subject]
    settings: Settings
    results: list[Result] = field(default_factory=list)
    unreached: set[str] = field(default_factory=set)  # addresses
    tallies: dict[str, Tally] = field(default_factory=dict)  # name:version -> of a stream
    near: NDArray[np.bool_] | None = None  # (N,) test images close to a training image
    baseline: "Baseline | None" = None
    # By address: the server's own counters at the start, and what we had sent by then.
    counters: dict[str, Counter[tuple[str, str, str]]] = field(default_factory=dict)
    counted: dict[str, Counter[tuple[str, str, str]]] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """The first address that was reached: it gets all checks, the others some."""
        reached = [one for one in self.targets if one.address not in self.unreached]
        return (reached or self.targets)[0]

    def testable(self) -> list[Subject]:
        """The versions that are worth further checks."""
        return [subject for subject in self.subjects if not subject.blocked]


def read_subjects(repository: Path, wanted: Sequence[str] = ()) -> list[Subject]:
    """Read the bundles of a repository, all or those named `NAME` or `NAME:VERSION`.

    A bundle that cannot be read is kept with its fault. Raises BundleError where the repository
    holds none, or lacks one that is wanted.
    """
    subjects = [_read_subject(folder) for folder in find_bundles(repository)]
    if not subjects:
        raise BundleError(f"{repository}: holds no bundle <name>/<version>/")
    for name in wanted:
        if not any(name in (subject.name, subject.key) for subject in subjects):
            known = ", ".join(subject.key for subject in subjects)
            raise BundleError(f"--model {name}: not in {repository}; expected one of {known}")
    return [
        subject
        for subject in subjects
        if not wanted or subject.name in wanted or subject.key in wanted
    ]


def _read_subject(folder: Path) -> Subject:
    subject = Subject(folder.parent.name, folder.name)
    try:
        subject.bundle = read_bundle(folder)
        subject.bundle.verify()
        subject.evaluation = Evaluation.read(subject.bundle)
    except BundleError as error:
        subject.fault = str(error)
    return subject


def find_near(source: Source, test: Split) -> NDArray[np.bool_] | None:
    """(N,) whether a test image lies close to a training one; None without training images."""
    try:
        train = source.split("train")
    except DataError:
        return None
    return measure_leakage(train, test).near


def read_split(source: Source) -> Split:
    """The test split; raises DataError where it is empty."""
    split = source.split("test")
    if not len(split):
        raise DataError(f"{source.location}: the test split is empty")
    return split
