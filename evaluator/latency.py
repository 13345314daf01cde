"""Summarise how long calls took."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

QUANTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
_STEPS_AN_OCTAVE: Final = 4


def quantiles(seconds: NDArray[np.float64]) -> dict[str, float]:
    """name -> seconds, of the calls that were answered: a value that was seen, not a blend.

    Empty where none was answered.
    """
    seen = seconds[np.isfinite(seconds)]
    if not len(seen):
        return {}
    values = np.quantile(seen, list(QUANTILES.values()), method="higher")
    return dict(zip(QUANTILES, map(float, values), strict=True))


def histogram(seconds: NDArray[np.float64]) -> list[dict[str, float]]:
    """Calls counted in steps of a quarter octave: `from` and `to` in seconds, `calls`.

    Bins grow with the latency, since a tail spans orders of magnitude.
    """
    seen = seconds[np.isfinite(seconds)]
    if not len(seen):
        return []
    steps = np.floor(np.log2(np.maximum(seen, 1e-6)) * _STEPS_AN_OCTAVE).astype(np.int64)
    first = int(steps.min())
    return [
        {
            "from": 2 ** (step / _STEPS_AN_OCTAVE),
            "to": 2 ** ((step + 1) / _STEPS_AN_OCTAVE),
            "calls": int(count),
        }
        for step, count in enumerate(np.bincount(steps - first), first)
    ]


def show_seconds(seconds: float) -> str:
    """A time as a person reads it: µs under a millisecond, then ms, then s."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
