"""Draw one verdict from all results: the only place that knows exit codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evaluator.results import Fault, Outcome, Result
from gurmukhi.command import EXIT_INTERRUPTED

# From the fault that outranks all others down. Bad input spoils every other finding. A wrong
# answer is proof, however many calls were lost beside it, and no retry mends it. Lost calls leave
# quality and latency unknown.
_RANKED: Final[dict[Fault, tuple[str, int]]] = {
    Fault.INPUT: ("bad input", 4),
    Fault.PARITY: ("served differs from offline", 2),
    Fault.INFRASTRUCTURE: ("target unreachable or failing", 3),
    Fault.QUALITY: ("quality fell", 1),
    Fault.LATENCY: ("latency budget exceeded", 5),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a run."""

    name: str
    exit_code: int
    sentence: str

    @property
    def is_pass(self) -> bool:
        return self.exit_code == 0


def conclude(results: Sequence[Result], *, interrupted: bool = False) -> Verdict:
    """The verdict on a run; an interrupted one never passes."""
    if interrupted:
        return Verdict(
            "incomplete", EXIT_INTERRUPTED, f"interrupted after {len(results)} results: incomplete"
        )
    failures = [result for result in results if result.fault is not None]
    for fault, (name, exit_code) in _RANKED.items():
        worst = [result for result in failures if result.fault is fault]
        if worst:
            others = len(failures) - 1
            also = f" (and {others} more)" if others else ""
            return Verdict(name, exit_code, worst[0].sentence + also)
    passed = sum(result.outcome is Outcome.PASS for result in results)
    if not passed:
        name, exit_code = _RANKED[Fault.INPUT]
        return Verdict(name, exit_code, "nothing was checked")
    return Verdict("pass", 0, f"all {passed} checks that were carried out pass")
