"""Keep little memory: one heap for all threads, and nothing that only loading needed."""

import ctypes
import gc
from typing import Final

_M_ARENA_MAX: Final = -8  # of glibc's malloc.h


def share_one_heap() -> None:
    """Have the threads that begin from now on allocate from one heap.

    glibc gives each a heap of its own, which holds on to what its largest calls took: under mixed
    calls a process grew by a tenth in minutes. It does so for threads that allocate at the same
    time, which Python's do not.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc; musl has one heap alone
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """Collect what is dead, look no more at what lives on, and return free pages to the system.

    Loading a graph takes several times what it keeps, and the C library holds on to the rest. A
    collector that passes over modules and models at each full round would stop every call for it.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; musl has none, nor needs it
    if trim is not None:
        trim(0)
