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
    Fault.OUTPUT: ("report not written", 4),
}

# What a verdict means to whoever reads it in the morning, by exit code.
MEANINGS: Final = {
    0: "What is served is what was measured.",
    1: "What is served was measured before it was published, and is worse than the baseline.",
    2: "Some of what is served is not what was measured: do not rely on it until it is mended.",
    3: "Calls failed, which says nothing against the answers that came: see to the servers first.",
    4: "A bundle, the images or the baseline cannot be used: the servers are not to blame.",
    5: "The answers are right, and too slow.",
    EXIT_INTERRUPTED: "It was stopped before its end: this is what it had found.",
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
