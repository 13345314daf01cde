"""Time a graph as it is served: one thread, one process."""

import time
from typing import Final

import numpy as np
import onnxruntime

from gurmukhi.image import INK, PAPER, SIDE

BATCHES: Final = (1, 32)
_RUNS: Final = 50
_WARM_UP: Final = 5  # the first runs allocate what later ones reuse


def measure_speed(session: onnxruntime.InferenceSession) -> dict[int, float]:
    """The median microseconds of a call with 1 and with 32 images."""
    rng = np.random.default_rng(0)
    medians = {}
    for batch in BATCHES:
        ink = rng.random((batch, SIDE, SIDE)) < 0.27  # the share of ink in real images
        pixels = np.where(ink, INK, PAPER).astype(np.uint8)
        seconds = []
        for run in range(_WARM_UP + _RUNS):
            started = time.perf_counter()
            session.run(None, {"pixels": pixels})
            if run >= _WARM_UP:
                seconds.append(time.perf_counter() - started)
        medians[batch] = float(np.median(seconds)) * 1e6
    return medians
