"""A histogram that is cheap to count in."""

import os
from bisect import bisect_left
from collections import deque
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Histogram

_ASIDE: Final = 256  # observations, 8 bytes each


class Distribution(Histogram):
    """A histogram that takes many observations at once, and puts few aside.

    A request has four of its own. Each would take two locks; so they are counted when they are
    asked for, or when there are some hundreds.
    """

    def observe(self, amount: float, exemplar: Any = None) -> None:
        """Count one."""
        aside = self._aside
        if aside is None:
            self._sum.inc(amount)
            self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)
            return
        aside.append(amount)
        if len(aside) >= _ASIDE:
            self._count_aside()

    def observe_all(self, amounts: NDArray[np.floating[Any]]) -> None:
        """Count each of several."""
        if self._aside is None or len(amounts) >= _ASIDE:
            self._count(amounts)
            return
        self._aside.extend(amounts.tolist())
        if len(self._aside) >= _ASIDE:
            self._count_aside()

    def _count(self, amounts: NDArray[np.floating[Any]]) -> None:
        """Count several, at the cost of one for each bucket that is met."""
        self._sum.inc(float(amounts.sum(dtype=np.float64)))
        places = np.searchsorted(self._upper_bounds, amounts)
        for bucket, count in zip(self._buckets, np.bincount(places).tolist(), strict=False):
            if count:
                bucket.inc(count)

    def _metric_init(self) -> None:
        super()._metric_init()
        # Of several workers each writes what it counts where the others' reader finds it.
        shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._aside: deque[float] | None = None if shared else deque()
        self._aside_lock = Lock()

    def _child_samples(self) -> Any:
        self._count_aside()
        return super()._child_samples()

    def _count_aside(self) -> None:
        if self._aside is None:
            return
        with self._aside_lock:  # so that who reads sees what another is counting
            # As many as there are now; those that come meanwhile are the next one's.
            amounts = [self._aside.popleft() for _ in range(len(self._aside))]
            if amounts:
                self._count(np.array(amounts))
