"""Make the checks one after the other, and time each."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from evaluator.checks import (
    check_accuracy,
    check_apis,
    check_data,
    check_labels,
    check_model,
    check_reach,
)
from evaluator.results import Result
from evaluator.session import Session

Check = Callable[[Session], Iterator[Result]]

CHECKS: Final[dict[str, Check]] = {
    "reach": check_reach,
    "model": check_model,
    "data": check_data,
    "labels": check_labels,
    "accuracy": check_accuracy,
    "apis": check_apis,
}


def run_checks(session: Session, names: tuple[str, ...] = tuple(CHECKS)) -> bool:
    """Fill `session.results`; return whether the run was interrupted."""
    try:
        for name in names:
            started = time.monotonic()
            for result in CHECKS[name](session):
                now = time.monotonic()
                session.results.append(replace(result, seconds=now - started))
                started = now
    except KeyboardInterrupt:
        return True
    return False
