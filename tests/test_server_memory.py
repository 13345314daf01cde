"""A server keeps what serving needs, not what loading took."""

import io
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT, RunningServer, serving
from PIL import Image

from gurmukhi.client import DigitClient
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(32, 99)
HEAP_BYTES = 64 << 20
RELEASE_SECONDS = 4  # Envoy gives back every second, a thread when its answer is sent
LARGE_BYTES = 12_000_000  # of the picture below; as many as threads were kept, and more


def test_memory_that_loading_took_is_given_back(models: Path) -> None:
    with serving(models) as running:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
    figures = dict(re.findall(r"(Vm\w+):\s+(\d+) kB", status))
    # Without it the two are equal: the C library holds on to all that it ever had.
    assert int(figures["VmRSS"]) < 0.93 * int(figures["VmHWM"])


# Says what the collector does when the server serves, and stops it.
_COLLECTOR = """
import gc, signal, sys
import server.__main__
assert "server.command" not in sys.modules
collected = sum(one["collections"] for one in gc.get_stats())

def tell(*_):
    since = sum(one["collections"] for one in gc.get_stats()) - collected
    print(gc.isenabled(), gc.get_freeze_count() > 10_000, since, flush=True)
    signal.raise_signal(signal.SIGTERM)

class Telling:
    def find_spec(self, name, path=None, target=None):
        if name == "server.command":
            sys.meta_path.remove(self)
            import server.serve
            server.serve.{told} = tell

sys.meta_path.insert(0, Telling())
sys.exit(server.__main__.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("workers", "told"), [(1, "_announce"), (2, "_supervise")])
def test_the_collector_begins_with_the_service_and_passes_over_what_was_loaded(
    models: Path, workers: int, told: str
) -> None:
    program = _COLLECTOR.replace("{told}", told)
    flags = ["--models", str(models), "--port", "0", "--metrics-port", "0", "--drain-seconds", "1"]
    done = subprocess.run(
        [sys.executable, "-c", program, *flags, "--workers", str(workers)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "True True 0" in done.stdout


def test_the_threads_of_a_server_share_one_heap(models: Path) -> None:
    """Each thread's own would hold on to what its largest call took, and grow for hours."""
    with serving(models) as running, DigitClient(running.target) as client:
        with ThreadPoolExecutor(16) as callers:
            list(callers.map(client.classify_batch, [IMAGES] * 200))
        heaps = own_heaps(Path(f"/proc/{running.process.pid}/maps").read_text())
    # Those that ran before it was said: a thread of Python's, and of onnxruntime's import.
    assert heaps <= 1


def test_what_a_large_picture_took_is_given_back(models: Path) -> None:
    """The C library takes the largest block ever freed for a size to keep at hand."""
    with serving(models) as running, DigitClient(running.target, timeout_seconds=60) as client:
        list(map(client.classify, IMAGES))
        before = heap_bytes(running)
        with ThreadPoolExecutor(8) as callers:
            list(callers.map(client.classify, [large_picture(), IMAGES[0]] * 30))
        # An answer is sent before its thread lets go of the picture.
        until = time.monotonic() + RELEASE_SECONDS
        while (after := heap_bytes(running)) >= before + LARGE_BYTES and time.monotonic() < until:
            time.sleep(0.1)
        assert after < before + LARGE_BYTES


@pytest.mark.slow
@pytest.mark.envoy
def test_envoys_allocator_gives_back_what_large_pictures_took(models: Path) -> None:
    """It is the whole process's, and by itself keeps all that it ever had."""
    with (
        serving(models, "--front", "envoy") as running,
        DigitClient(running.target, timeout_seconds=60) as client,
    ):
        worker = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        status = Path(f"/proc/{worker.read_text().split()[0]}/status")
        with ThreadPoolExecutor(8) as callers:
            list(callers.map(client.classify, [large_picture("RGBA")] * 30))
        time.sleep(RELEASE_SECONDS)
        figures = dict(re.findall(r"(Vm\w+):\s+(\d+) kB", status.read_text()))
    # With Envoy's defaults it is three quarters.
    assert int(figures["VmRSS"]) < 0.5 * int(figures["VmHWM"])


def large_picture(mode: str = "L") -> bytes:
    """A digit on a sheet of 12 megapixels."""
    out = io.BytesIO()
    sheet = Image.new(mode, (4000, 3000), "white")
    sheet.paste(Image.fromarray(IMAGES[0]).resize((2000, 2000)), (900, 400))
    sheet.save(out, "PNG")
    return out.getvalue()


def heap_bytes(running: RunningServer) -> int:
    """Resident memory that is no file's: program text comes and goes by itself."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"RssAnon:\s*(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def own_heaps(maps: str) -> int:
    """Heaps of threads in a process: glibc reserves 64 MiB for each, at a multiple of it."""
    heap = re.compile(
        r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *\n([0-9a-f]+)-([0-9a-f]+) ---p"
    )
    return sum(
        int(one[1], 16) % HEAP_BYTES == 0 and int(one[4], 16) - int(one[1], 16) == HEAP_BYTES
        for one in heap.finditer(maps)
    )


def test_program_text_that_only_the_start_ran_is_not_resident(models: Path) -> None:
    with serving(models) as running:
        smaps = Path(f"/proc/{running.process.pid}/smaps").read_text()
    entries = re.findall(r"r-xp .*\.so\S*\n(?:\w+: .*\n)*?Rss: +(\d+) kB", smaps)
    assert len(entries) > 10
    # onnxruntime's alone is 16 MB of it while the server starts.
    assert sum(map(int, entries)) < 15_000
