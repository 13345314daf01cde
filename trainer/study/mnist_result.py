"""A row of the MNIST table with what each seed made of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.study.outcome import Outcome, Scores
from trainer.study.published import MnistRow


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row of the table with what each seed made of it."""

    row: MnistRow
    outcomes: Sequence[Outcome]
    scores: Sequence[Scores]

    @property
    def accuracies(self) -> list[float]:
        """One a seed."""
        return [scores.accuracy for scores in self.scores]

    @property
    def accuracy(self) -> float:
        """The mean over the seeds."""
        return float(np.mean(self.accuracies))

    @property
    def seconds(self) -> float:
        """The mean over the seeds, on one core."""
        return float(np.mean([outcome.seconds for outcome in self.outcomes]))

    @property
    def holds(self) -> bool:
        """Whether the mean accuracy reproduces the published one."""
        return self.row.holds(self.accuracy)
