"""Run the rows of a study: the kept ones from disk, the others in processes of their own."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from gurmukhi.terminal import progress
from trainer.study.outcome import Outcome, Tell
from trainer.study.store import Store
from trainer.workers import run_tasks

Task = TypeVar("Task", bound=Hashable)


def run_rows(
    label: str,
    function: Callable[[Task, Tell], Outcome],
    rows: Mapping[Task, dict[str, Any]],  # each task, longest first, and what it depends on
    *,
    steps: Callable[[Task], int],  # how many words a task tells
    note: Callable[[Task, Any], str],
    store: Store,
    jobs: int,
    fresh: bool = False,
    quiet: bool = False,
) -> dict[Task, Outcome]:
    """The outcome of every task, in the order of `rows`; each is kept as soon as it is there."""
    found = {} if fresh else {task: store.get(row) for task, row in rows.items()}
    outcomes = {task: outcome for task, outcome in found.items() if outcome is not None}
    missing = [task for task in rows if task not in outcomes]
    if not missing:
        return {task: outcomes[task] for task in rows}
    if outcomes:
        label += f" ({len(outcomes)} of {len(rows)} rows kept)"
    with progress(label, sum(map(steps, missing)), quiet=quiet) as shown:
        words = run_tasks(
            function,
            missing,
            jobs=jobs,
            on_word=lambda task, word: shown.advance(note=note(task, word)),
        )
        for task, outcome in words:
            store.put(rows[task], outcome)
            outcomes[task] = outcome
    return {task: outcomes[task] for task in rows}
