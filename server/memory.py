"""Keep little memory: one heap for all threads, and nothing that only loading needed."""

import ctypes
import gc
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SMAPS: Final = Path("/proc/self/smaps")
# Of glibc's malloc.h, each with its value.
_ONE_HEAP: Final = (-8, 1)  # M_ARENA_MAX
_LARGE: Final = (-3, 1 << 20)  # M_MMAP_THRESHOLD: what is larger goes back when it is freed
_SPARE: Final = (-1, 2 << 20)  # M_TRIM_THRESHOLD: what the heap may keep free at its end

_libc: Final = ctypes.CDLL(None, use_errno=True)


def limit_heap() -> None:
    """Have the threads that begin from now on allocate from one heap.

    glibc gives each a heap of its own, which holds on to what its largest calls took, so that a
    process grows for as long as its calls are mixed. It does so for threads that allocate at the
    same time, which Python's do not.
    """
    _set_heap(_ONE_HEAP)


def settle() -> None:
    """Collect what is dead, look no more at what lives on, and return free pages to the system.

    Loading a graph takes several times what it keeps, and the C library holds on to the rest. A
    collector that passes over modules and models at each full round would stop every call for it.
    During the start, in which hardly anything dies, the collector is off; it is switched on here.

    From now on the heap gives back. It takes the largest block that was ever freed, such as a
    picture of 16 megapixels, for a size to keep at hand; to the first loading, whose tensors are as
    large, that is worth a fifth of the start.
    """
    if gc.isenabled():  # else this is the end of the start, and nothing was frozen yet
        gc.unfreeze()
        gc.collect()
    gc.freeze()
    gc.enable()
    _set_heap(_LARGE, _SPARE)
    trim = getattr(_libc, "malloc_trim", None)  # of glibc; musl has none, nor needs it
    if trim is not None:
        trim(0)
    _drop_program_text()


def _set_heap(*settings: tuple[int, int]) -> None:
    mallopt = getattr(_libc, "mallopt", None)  # of glibc; musl has one heap alone
    if mallopt is not None:
        for name, value in settings:
            mallopt(name, value)


def _drop_program_text() -> None:
    """Unmap the pages of programs and libraries, most of which only the start has run.

    What is run again comes back from the page cache, and where that is short the kernel keeps no
    page for a start that is over. Only what nobody ever wrote to is dropped: it is as in the file.
    """
    madvise = getattr(_libc, "madvise", None)
    if madvise is None or not _SMAPS.exists():
        return
    for start, end in _clean_text():
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def _clean_text() -> Iterator[tuple[int, int]]:
    """The addresses of each executable mapping of a file that has no page of its own.

    Source: Linux, Documentation/filesystems/proc.rst, `smaps`.
    """
    span, is_text = (0, 0), False
    for line in _SMAPS.read_text().splitlines():
        key, *values = line.split()
        if not key.endswith(":"):  # address perms offset device inode path
            start, _, end = key.partition("-")
            span = int(start, 16), int(end, 16)
            is_text = values[0] == "r-xp" and values[3] != "0"
        elif key == "Anonymous:" and is_text and values[0] == "0":
            yield span
