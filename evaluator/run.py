"""Make the checks one after the other, and time each."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from evaluator.apis import check_apis
from evaluator.baseline import check_baseline
from evaluator.beyond import run_stream
from evaluator.budgets import check_calls, check_latency
from evaluator.consistency import check_batches, check_load
from evaluator.counters import check_metrics, check_metrics_before
from evaluator.parity import check_accuracy, check_data, check_labels
from evaluator.reach import check_model, check_reach
from evaluator.refusals import check_refusals
from evaluator.replicas import check_replicas
from evaluator.results import Fault, Result
from evaluator.session import Session
from evaluator.stream import Stream

Check = Callable[[Session], Iterator[Result]]

CHECKS: Final[dict[str, Check]] = {
    "reach": check_reach,
    "model": check_model,
    "data": check_data,
    "labels": check_labels,
    "accuracy": check_accuracy,
    "batches": check_batches,
    "load": check_load,
    "apis": check_apis,
    "replicas": check_replicas,
    "latency": check_latency,
    "refusals": check_refusals,
    "metrics": check_metrics,
    "calls": check_calls,
    "baseline": check_baseline,
}
# A profile is a choice of checks; the conformance profile also wants counters that are exact.
PROFILES: Final[dict[str, tuple[str, ...]]] = {
    "quick": (
        "reach", "model", "data", "labels", "accuracy", "apis", "latency", "calls", "baseline",
    ),
    "nightly": tuple(CHECKS),
    "conformance": tuple(CHECKS),
}  # fmt: skip


def run_checks(session: Session) -> bool:
    """Fill `session.results`; return whether the run was interrupted."""
    try:
        _make(session, check_metrics_before)
        for name, check in CHECKS.items():
            if name in session.settings.checks:
                _make(session, check)
    except KeyboardInterrupt:
        return True
    return False


def run_checks_on_stream(session: Session, stream: Stream) -> bool:
    """As `run_checks`, on images without offline answers: reach, model and accuracy."""
    try:
        _make(session, check_reach)
        _make(session, check_model)
        for subject in session.testable():
            if subject.bundle is None:
                subject.blocked = "the bundle cannot be read"
                session.results.append(
                    Result.failed("data", subject.key, Fault.INPUT, subject.fault)
                )
        interrupted = run_stream(session, stream)
        _make(session, check_calls)
    except KeyboardInterrupt:
        return True
    return interrupted


def _make(session: Session, check: Check) -> None:
    started = time.monotonic()
    for result in check(session):
        now = time.monotonic()
        session.results.append(replace(result, seconds=now - started))
        started = now
