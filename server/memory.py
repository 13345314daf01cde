"""Give back what loading needed and serving does not."""

import ctypes
import gc


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
