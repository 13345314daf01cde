"""Take turns, round by round, so that whatever else the machine does hits everybody alike."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.load import Burst, Generator, Question, Shape
from benchmarks.processes import ServerProcess

Work = tuple[ServerProcess, Question]

# What is left of a machine's noise after this many rounds is a few percent of a median of ratios.
ROUNDS: Final = 5
BURST_SECONDS: Final = 0.4


def interleave(
    generator: Generator,
    work: Mapping[str, Work],
    shape: Shape,
    *,
    rounds: int = ROUNDS,
    seconds: float = BURST_SECONDS,
) -> dict[str, list[Burst]]:
    """Bursts of about so many seconds, one of each server a round."""
    requests = {name: generator.sized(*one, shape, seconds) for name, one in work.items()}
    bursts: dict[str, list[Burst]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            bursts[name].append(generator.burst(*one, shape, requests[name]))
    return bursts


def ratio(ones: Sequence[Burst], others: Sequence[Burst], figure: str) -> float:
    """The median over the rounds of one's figure to the other's of the same round."""
    quotients: list[float] = [
        getattr(one, figure) / getattr(other, figure)
        for one, other in zip(ones, others, strict=True)
    ]
    return statistics.median(quotients)
