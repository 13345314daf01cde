"""Hold measured latency against budgets, and calls against what a sound target loses."""

from collections.abc import Iterator
from typing import Final

from evaluator.latency import quantiles, show_seconds
from evaluator.parity import replayed
from evaluator.results import Fault, Result
from evaluator.session import Session, Subject
from evaluator.settings import Budget

# More retried calls than this share are a fault of the target, though each was answered in the end.
_RETRIED_SHARE: Final = 0.001


def check_latency(session: Session) -> Iterator[Result]:
    """Whether each budget holds, under the arrivals of the open loop where they were sent."""
    if not session.settings.budgets:
        yield Result.skipped("latency", session.target.address, "no --latency-budget is given")
    for budget in session.settings.budgets:
        for subject in session.testable():
            if budget.model in ("", subject.name, subject.key):
                yield _within(session, subject, budget)


def _within(session: Session, subject: Subject, budget: Budget) -> Result:
    how, replay = (
        list(subject.under_load.items())[-1]
        if subject.under_load
        else ("one call at a time", replayed(session, subject))
    )
    measured = quantiles(replay.seconds)
    if not measured:
        return Result.skipped("latency", subject.key, f"{budget}: no call was measured")
    seconds = measured[budget.quantile]
    found = (
        f"{subject.key}: {budget.quantile} is {show_seconds(seconds)} {how}, "
        f"the budget {show_seconds(budget.seconds)}"
    )
    if seconds > budget.seconds:
        return Result.failed("latency", subject.key, Fault.LATENCY, found, seconds=seconds)
    return Result.passed("latency", subject.key, found, seconds=seconds)


def check_calls(session: Session) -> Iterator[Result]:
    """Whether each address answered its calls, all but a few of them at the first attempt."""
    for target in session.targets:
        calls, address = target.calls, target.address
        figures = {"sent": calls.sent, "retried": calls.retried, "lost": calls.lost}
        if calls.lost:
            sentence = f"{address}: {calls.lost} of {calls.sent} calls were lost"
            yield Result.failed("calls", address, Fault.INFRASTRUCTURE, sentence, **figures)
        elif calls.retried > _RETRIED_SHARE * calls.sent:
            sentence = (
                f"{address}: {calls.retried} of {calls.sent} calls had to be retried, "
                f"at most {_RETRIED_SHARE:.1%} is sound"
            )
            yield Result.failed("calls", address, Fault.INFRASTRUCTURE, sentence, **figures)
        else:
            sentence = f"{calls.sent} calls, {calls.retried} retried, none lost"
            yield Result.passed("calls", address, sentence, **figures)
