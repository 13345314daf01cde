"""Disks that are full, models that are damaged, folders that go away."""

import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from evaluator.files import write_whole
from evaluator.history import append_run, read_runs
from evaluator.push import push_metrics
from gurmukhi.bundle import find_bundles, read_bundle
from gurmukhi.errors import BundleError, GurmukhiError
from gurmukhi.manifest import FILES, MANIFEST
from gurmukhi.synthetic import synthetic_digits
from reliability.crashes import calling
from reliability.figures import Figure
from reliability.seeds import report, sound_bundle
from reliability.service import serving, unprivileged
from server.model import load_model

TRIAL: Final = "storage"
_IMAGES, _ = synthetic_digits(20, 95)
_SOUND: Final = 0
_REGIONS: Final = 97  # of a file; no multiple of the files, so that each has all
_REFUSED: Final = 10  # of a child whose write failed with an error that a command reports


def try_storage(models: Path, flips: int) -> Iterator[Figure]:
    """Full disks, damaged and vanishing models."""
    with tempfile.TemporaryDirectory(prefix="gurmukhi-storage-") as folder:
        yield from _full_disk(Path(folder))
        yield from _damaged_models(models, Path(folder), flips)
        yield from _swapped_models(models, Path(folder))
        yield from _vanishing_models(models, Path(folder))
    yield from _no_gateway()


def _full_disk(folder: Path) -> Iterator[Figure]:
    """Write under every limit of size there may be, and look at what is left each time."""
    path = folder / "history.sqlite"
    append_run(path, report())
    half = 0
    for bytes_left in range(0, path.stat().st_size * 3, 512):
        before = len(read_runs(path, 1000))
        code = _limited(bytes_left, lambda: append_run(path, report()))
        after = len(read_runs(path, 1000))
        half += after != before + (code == _SOUND)
    yield Figure.exactly(TRIAL, "full disk: half-written histories", half, 0)
    text, page = "new " * 5000, folder / "report.json"
    write_whole(page, "old")
    half = 0
    for bytes_left in range(0, 30_000, 500):
        code = _limited(bytes_left, lambda: write_whole(page, text))
        half += page.read_text() != (text if code == _SOUND else "old")
        write_whole(page, "old")
    yield Figure.exactly(TRIAL, "full disk: half-written reports", half, 0)
    repository = folder / "published"
    sound_bundle(repository)
    half = 0
    for bytes_left in range(0, 20_000, 500):
        _limited(bytes_left, lambda: sound_bundle(repository))
        bundles = find_bundles(repository)
        half += len(bundles) != 1
        for bundle in bundles:
            read_bundle(bundle).verify()
    left = [one.name for one in folder.iterdir() if one.name.startswith(".")]
    yield Figure.exactly(TRIAL, "full disk: half-published bundles", half, 0)
    yield Figure.exactly(TRIAL, "full disk: unfinished folders left", left, [])


def _limited(size: int, write: Callable[[], object]) -> int:
    """Write in a child that may write no file past a size; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with suppress(BaseException):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            try:
                write()
                code = _SOUND
            except (OSError, GurmukhiError):
                code = _REFUSED
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (_SOUND, _REFUSED):
        raise RuntimeError(f"a write past {size} bytes ended with {code}")
    return code


def _damaged_models(models: Path, folder: Path, flips: int) -> Iterator[Figure]:
    """Flip a bit of each region of each file, or cut it there: it must not be loaded."""
    sound = models / "mlp/1"
    bundle = folder / "damaged/mlp/1"
    shutil.copytree(sound, bundle)
    rng, regions = random.Random(8), itertools.cycle(range(_REGIONS))
    loaded: Counter[str] = Counter()
    files = sorted(path for path in bundle.iterdir() if path.name in (*FILES, MANIFEST))
    for index in range(flips):
        path = files[index % len(files)]
        data = path.read_bytes()
        place = int((next(regions) + rng.random()) / _REGIONS * len(data))
        damaged = bytearray(data)
        if index % 5 == 0:
            del damaged[place:]
        else:
            damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            model = load_model(bundle)
        except BundleError:
            pass
        else:  # a word of the manifest that decides nothing, such as a seed
            if model.sha256 != read_bundle(sound).manifest.model_sha256:
                loaded[path.name] += 1
        path.write_bytes(data)
    what = f"damaged models of {flips} that were served as something else"
    yield Figure.exactly(TRIAL, what, sum(loaded.values()), 0)


def _swapped_models(models: Path, folder: Path) -> Iterator[Figure]:
    """Put one model in the place of another while it is read, again and again."""
    place = folder / "swapped/mlp/1"
    shutil.copytree(models / "mlp/1", place)
    other = folder / "other/mlp/1"
    shutil.copytree(models / "mlp/1", other)
    (other / "model.onnx").write_bytes((models / "svm-linear/1/model.onnx").read_bytes())
    sound = load_model(models / "mlp/1").predict(_IMAGES)
    stopped = threading.Event()

    def swap() -> None:
        sources = (models / "mlp/1", other)
        turn = 0
        while not stopped.is_set():
            turn = 1 - turn
            for name in ("model.onnx", "golden.npz"):
                shutil.copy(sources[turn] / name, place / f"{name}.new")
                (place / f"{name}.new").replace(place / name)

    thread = threading.Thread(target=swap)
    thread.start()
    wrong = loaded = refused = 0
    until = time.monotonic() + 4
    while time.monotonic() < until:
        try:
            prediction = load_model(place).predict(_IMAGES)
        except BundleError:
            refused += 1
        else:
            loaded += 1
            wrong += not np.array_equal(prediction.scores, sound.scores)
    stopped.set()
    thread.join()
    what = f"swapped while read: wrong models ({loaded} loaded, {refused} refused)"
    yield Figure.exactly(TRIAL, what, wrong, 0)


def _vanishing_models(models: Path, folder: Path) -> Iterator[Figure]:
    """Take the repository away, make it unreadable, bring it back: what is served is served on."""
    repository, aside = folder / "vanishing", folder / "aside"
    shutil.copytree(models / "mlp", repository / "mlp")
    poll = ("--model-control", "poll", "--poll-seconds", "0.1")
    what = "repository that goes away"
    with (
        serving(repository, *poll, prefix=unprivileged()) as service,
        calling(service.target, retries=False) as callers,
    ):
        repository.rename(aside)
        time.sleep(0.5)
        callers.wait_for_answers(20, what)
        aside.rename(repository)
        repository.chmod(0)
        time.sleep(0.5)
        callers.wait_for_answers(20, what)
        repository.chmod(0o555)
        time.sleep(0.5)
        callers.wait_for_answers(20, what)
        said = f"{repository}: cannot be read" in service.log
        written = _publish_unprivileged(repository)
        repository.chmod(0o755)
    yield from callers.figures(TRIAL, what)
    lost = sum(callers.codes.values()) - callers.answered
    yield Figure.exactly(TRIAL, f"{what}: calls without an answer", lost, 0)
    yield Figure.exactly(TRIAL, f"{what}: the log names it", said, expected=True)
    yield Figure.exactly(TRIAL, "read-only repository: bundles written", written, 0)


def _publish_unprivileged(repository: Path) -> int:
    """Publish into a repository that may only be read; how many bundles it has more after it."""
    before = len(find_bundles(repository))
    publish = "import sys, pathlib, reliability.seeds as seeds\n"
    publish += "seeds.sound_bundle(pathlib.Path(sys.argv[1]))"
    command = [*unprivileged(), sys.executable, "-c", publish, str(repository / "mlp")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Permission denied" not in done.stderr:
        raise RuntimeError(f"publishing was not refused: {done.stderr[-300:]}")
    return len(find_bundles(repository)) - before


def _no_gateway() -> Iterator[Figure]:
    record = {**report(), "calls": {"sent": 1}}
    record["data"]["source"] = "synthetic"
    started = time.monotonic()
    push_metrics(record, "http://127.0.0.1:1")
    seconds = time.monotonic() - started
    yield Figure.at_most(TRIAL, "Pushgateway down: the run goes on after", seconds, 6, " s")
