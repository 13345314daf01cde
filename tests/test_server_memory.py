"""A server keeps what serving needs, not what loading took."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conftest import serving

from gurmukhi.client import DigitClient
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(32, 99)
HEAP_BYTES = 64 << 20


def test_memory_that_loading_took_is_given_back(models: Path) -> None:
    with serving(models) as running:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
    figures = dict(re.findall(r"(Vm\w+):\s+(\d+) kB", status))
    # Without it the two are equal: the C library holds on to all that it ever had.
    assert int(figures["VmRSS"]) < 0.93 * int(figures["VmHWM"])


def test_the_threads_of_a_server_share_one_heap(models: Path) -> None:
    """Each thread's own would hold on to what its largest call took, and grow for hours."""
    with serving(models) as running, DigitClient(running.target) as client:
        with ThreadPoolExecutor(16) as callers:
            list(callers.map(client.classify_batch, [IMAGES] * 200))
        heaps = own_heaps(Path(f"/proc/{running.process.pid}/maps").read_text())
    # Those that ran before it was said: a thread of Python's, and of onnxruntime's import.
    assert heaps <= 1


def own_heaps(maps: str) -> int:
    """Heaps of threads in a process: glibc reserves 64 MiB for each, at a multiple of it."""
    heap = re.compile(
        r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *\n([0-9a-f]+)-([0-9a-f]+) ---p"
    )
    return sum(
        int(one[1], 16) % HEAP_BYTES == 0 and int(one[4], 16) - int(one[1], 16) == HEAP_BYTES
        for one in heap.finditer(maps)
    )
