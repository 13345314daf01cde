"""Whatever bytes a reader is given, it takes them whole or refuses them with its own error."""

import io
import sqlite3
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT, run_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluator.history import append_run
from gurmukhi.image import decode
from reliability.fuzz import fuzz
from reliability.readers import (
    READERS,
    BrokenPromiseError,
    read_baseline,
    read_golden,
    read_history,
    read_manifest,
)
from reliability.seeds import pictures, report, seeds_of

INSERTED = (b"\0", b"\xff" * 4, b"[" * 3000, b"9" * 40, b"Infinity", b"NaN", b"null", b"{}", b"-1")


@cache
def sound(reader: str) -> list[bytes]:
    return seeds_of(reader)


@st.composite
def damaged(draw: st.DrawFn, reader: str) -> bytes:
    """A sound example, cut, overwritten or added to in a few places."""
    data = bytearray(draw(st.sampled_from(sound(reader))))
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["cut", "drop", "set", "insert"]))
        if how == "cut":
            del data[place:]
        elif how == "drop":
            del data[place : place + draw(st.integers(1, 40))]
        elif how == "set":
            data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        else:
            data[place:place] = draw(st.sampled_from(INSERTED))
    return bytes(data)


@pytest.fixture(autouse=True)
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # as the server does
        yield


@pytest.mark.parametrize("reader", READERS)
def test_what_is_sound_is_read(reader: str) -> None:
    for seed in sound(reader):
        READERS[reader](seed)


@pytest.mark.parametrize("reader", READERS)
def test_damaged_bytes_are_taken_whole_or_refused(reader: str) -> None:
    @settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
    @given(st.one_of(damaged(reader), st.binary(max_size=2000)))
    def check(data: bytes) -> None:
        READERS[reader](data)

    check()


def test_a_reader_that_takes_anything_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliability.readers.fit_frame", lambda grey: decode(next(pictures())))
    monkeypatch.setattr("reliability.readers.INK", 7)
    with pytest.raises(BrokenPromiseError):
        READERS["grey"](sound("grey")[0])


def test_an_infinite_shape_in_a_manifest_is_refused() -> None:
    read_manifest(sound("manifest")[0].replace(b"      -1,\n", b"      Infinity,\n", 1))


def test_golden_vectors_that_unpack_to_gigabytes_are_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(80 << 20))
    read_golden(out.getvalue())


@pytest.mark.parametrize("name", ["images", "digits", "scores"])
def test_golden_vectors_that_are_no_arrays_are_refused(name: str) -> None:
    """NumPy gives the bytes of a file that does not begin as an array does."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(sound("golden")[0])) as source,
        zipfile.ZipFile(out, "w") as spoiled,
    ):
        for entry in source.namelist():
            data = source.read(entry)
            spoiled.writestr(entry, b"no array" if entry == f"{name}.npy" else data)
    read_golden(out.getvalue())


def test_encrypted_golden_vectors_are_refused() -> None:
    data = bytearray(sound("golden")[1])
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + flags] |= 1
    read_golden(bytes(data))


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"data": {"sha256": "", "images": 1e999}}'])
def test_a_baseline_that_is_no_report_is_refused(data: bytes) -> None:
    read_baseline(data)


@pytest.mark.parametrize("record", ["{}", "[", '"\udcc6"', "[" * 100_000, '{"models": [1]}'])
def test_a_history_with_a_record_that_is_none_is_refused_in_one_line(
    tmp_path: Path, record: str
) -> None:
    path = tmp_path / "history.sqlite"
    append_run(path, report())
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE runs SET record = CAST(? AS TEXT)", (record.encode(errors="surrogateescape"),)
        )
    database.close()
    read_history(path.read_bytes())
    done = run_command("evaluator", "history", str(path))
    assert done.returncode == 4, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_pictures_write_nothing_of_pillow_s_into_the_log() -> None:
    """Its warnings quote the picture, and each new one is kept for ever."""
    script = (
        "import sys, warnings; from server.logs import start_logs; start_logs('json')\n"
        "from gurmukhi.image import decode; from gurmukhi.errors import ImageError\n"
        "import PIL.TiffImagePlugin as plugin\n"
        "data = sys.stdin.buffer.read()\n"
        "for length in range(100, len(data), 3):\n"
        "    try: decode(data[:length])\n"
        "    except ImageError: pass\n"
        "print(len(getattr(plugin, '__warningregistry__', {})))\n"
    )
    tiff = next(data for data in pictures() if data.startswith(b"II*"))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, input=tiff, capture_output=True, check=True
    )
    assert int(done.stdout) <= 1  # the table's own version
    assert b"UserWarning" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_a_few_seconds_of_fuzzing_find_nothing(reader: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="pip install -e '.[reliability]'")
    found = fuzz(reader, 5, tmp_path / "corpus")
    assert not found.fault
    assert found.cases > 2 * len(sound(reader))  # more than it begins with, on a busy machine too


def test_fuzzing_reports_what_broke() -> None:
    from reliability.fuzz import _fault_of

    log = "INFO: x\n === Uncaught Python exception: ===\nKeyError: 'models'\nTraceback\n"
    assert _fault_of(log) == "KeyError: 'models'"
