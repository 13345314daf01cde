"""What a check found: its outcome, whose fault a failure is, a sentence and the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Outcome(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    ERROR = "error"  # it could not be carried out
    NOT_OFFERED = "not offered"  # the server lacks what it is about
    SKIPPED = "skipped"


class Fault(StrEnum):
    """What a failure says is wrong; the verdict and the exit code follow from it."""

    INPUT = "input"  # bundle, data or baseline
    PARITY = "parity"  # what is served is not what was measured offline
    INFRASTRUCTURE = "infrastructure"  # the target cannot be reached, or fails
    QUALITY = "quality"  # fewer right answers than the baseline has
    LATENCY = "latency"  # slower than the budget
    OUTPUT = "output"  # the report, the history or the baseline cannot be written


@dataclass(frozen=True, slots=True)
class Result:
    """One check of one subject."""

    check: str  # such as "labels"
    subject: str  # such as "svm-rbf:1", or an address
    outcome: Outcome
    sentence: str
    fault: Fault | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    seconds: float = 0.0

    @classmethod
    def passed(cls, check: str, subject: str, sentence: str, **evidence: Any) -> Self:
        return cls(check, subject, Outcome.PASS, sentence, None, evidence)

    @classmethod
    def failed(cls, check: str, subject: str, fault: Fault, sentence: str, **evidence: Any) -> Self:
        return cls(check, subject, Outcome.FAIL, sentence, fault, evidence)

    @classmethod
    def error(
        cls,
        check: str,
        subject: str,
        sentence: str,
        fault: Fault = Fault.INFRASTRUCTURE,
        **evidence: Any,
    ) -> Self:
        return cls(check, subject, Outcome.ERROR, sentence, fault, evidence)

    @classmethod
    def not_offered(cls, check: str, subject: str, sentence: str) -> Self:
        return cls(check, subject, Outcome.NOT_OFFERED, sentence)

    @classmethod
    def skipped(cls, check: str, subject: str, sentence: str) -> Self:
        return cls(check, subject, Outcome.SKIPPED, sentence)
