"""Answer calls in steps, so that those which wait for the same model share one run of its graph.

A graph of a megabyte is read from memory for one image as for eight. Who has several calls at hand
begins them one after the other, runs what they ask for together, and finishes them: without a
thread or a moment that waits for company.
"""

from collections.abc import Generator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar


class Run(Protocol):
    """What a call wants of a model, once its request has been read."""

    def together(self, others: Sequence[Any]) -> None:
        """Do this and others like it; each has its outcome then."""
        ...

    @property
    def key(self) -> Any:
        """Those of one key can be done together; None for one that is done alone."""
        ...

    def outcome(self) -> Any:
        """What came of it; raises what went wrong."""
        ...


_Answer = TypeVar("_Answer")
Steps: TypeAlias = Generator[Run | None, None, _Answer]
"""Yields the run that it needs, and None before it does what takes long; returns the answer."""


def walk(steps: Steps[_Answer]) -> _Answer:
    """The answer of one call, which is alone."""
    while True:
        try:
            run = next(steps)
        except StopIteration as end:
            answer: _Answer = end.value
            return answer
        if run is not None:
            run.together(())


class Walker(Protocol):
    """Someone on their way through steps."""

    run: Run | None

    def go_on(self) -> bool:
        """Go on to the next step, whose run is there then; False where that was the last."""
        ...


def finish(walkers: Sequence[Walker]) -> None:
    """Bring several to their end; runs of one key are done together."""
    while walkers:
        groups: dict[Any, list[Run]] = {}
        for run in [walker.run for walker in walkers if walker.run]:
            groups.setdefault(run if run.key is None else run.key, []).append(run)
        for first, *others in groups.values():
            first.together(others)
        walkers = [walker for walker in walkers if walker.go_on()]
