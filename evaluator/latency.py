"""Summarise how long calls took."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

QUANTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


def quantiles(seconds: NDArray[np.float64]) -> dict[str, float]:
    """name -> seconds, of the calls that were answered: a value that was seen, not a blend.

    Empty where none was answered.
    """
    seen = seconds[np.isfinite(seconds)]
    if not len(seen):
        return {}
    values = np.quantile(seen, list(QUANTILES.values()), method="higher")
    return dict(zip(QUANTILES, map(float, values), strict=True))


def show_seconds(seconds: float) -> str:
    """A time as a person reads it: µs under a millisecond, then ms, then s."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
