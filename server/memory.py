"""Keep little memory: one heap for all threads, and nothing that only loading needed."""

import ctypes
import gc
from typing import Final

# Of glibc's malloc.h, each with its value.
_ONE_HEAP: Final = (-8, 1)  # M_ARENA_MAX
_LARGE: Final = (-3, 1 << 20)  # M_MMAP_THRESHOLD: what is larger goes back when it is freed
_SPARE: Final = (-1, 2 << 20)  # M_TRIM_THRESHOLD: what the heap may keep free at its end


def limit_heap() -> None:
    """Have the threads that begin from now on allocate from one heap, and that give back.

    glibc gives each a heap of its own, which holds on to what its largest calls took, so that a
    process grows for as long as its calls are mixed. It does so for threads that allocate at the
    same time, which Python's do not. And it takes the largest block that was ever freed, such as a
    picture of 16 megapixels, for a size to keep at hand.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc; musl has one heap alone
    if mallopt is not None:
        for name, value in (_ONE_HEAP, _LARGE, _SPARE):
            mallopt(name, value)


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
