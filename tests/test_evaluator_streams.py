"""Beyond the test set: digits without end, and folders of pictures, in constant memory."""

import _thread
import io
import itertools
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from evaluating import Evaluate, _interruptible, evaluate, models, read_report, report
from PIL import Image
from wrong_servers import RightServer, nearest_mean, serving, the_split

from evaluator.png import encode_png
from gurmukhi.synthetic import synthetic_digits

__all__ = ["_interruptible", "evaluate", "models", "report"]  # fixtures

Shown = pytest.CaptureFixture[str]

# VmHWM is of this program alone; getrusage would begin with what its parent had.
_MEASURED = """
import re, sys
from pathlib import Path
from evaluator.__main__ import main
code = main(sys.argv[1:])
print("peak", re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""

# Where the tests run in a shell's background, Ctrl-C is ignored from birth.
_INTERRUPTIBLE = """
import signal, sys
from evaluator.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""


def peak_memory(target: str, models: Path, report: Path, data: str) -> int:
    """The kilobytes that `gurmukhi-evaluate` needs at most on some data."""
    flags = ("--target", target, "--models", str(models), "--report", str(report), "--data", data)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *flags], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^peak (\d+)$", done.stdout, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.slow
def test_three_times_the_synthetic_digits_take_no_more_memory(models: Path, report: Path) -> None:
    with serving(RightServer()) as target:
        few, many = (
            peak_memory(target, models, report, f"synthetic:{count}") for count in (20_000, 60_000)
        )
    assert many < 1.1 * few  # their pixels alone would be 40 MB more


@pytest.mark.slow
def test_ten_times_the_pictures_of_a_folder_take_no_more_memory(
    models: Path, report: Path, tmp_path: Path
) -> None:
    images, labels = synthetic_digits(30_000, 61)
    for name, count in (("few", 3_000), ("many", 30_000)):
        write_pictures(tmp_path / name, images[:count], labels[:count].tolist())
    with serving(RightServer()) as target:
        few, many = (
            peak_memory(target, models, report, str(tmp_path / name)) for name in ("few", "many")
        )
    assert many < 1.1 * few  # their pixels alone would be 27 MB more


def write_pictures(folder: Path, images: Any, labels: Sequence[int]) -> None:
    for index, label in enumerate(labels):
        path = folder / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(images[index]))


class Counting(RightServer):
    """Keeps how many images each call has."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[int] = set()

    def answer(self, images: Any) -> Any:
        self.sizes.add(len(images))
        return super().answer(images)


@pytest.mark.parametrize(("flags", "size"), [((), 32), (("--batch", "250"), 250)])
def test_a_stream_is_sent_in_batches_of_the_size_that_is_asked_for(
    evaluate: Evaluate, flags: tuple[str, ...], size: int
) -> None:
    server = Counting()
    with serving(server) as target:
        assert evaluate(target, *flags, data="synthetic:2000") == 0
    assert max(server.sizes) == size


def test_stream_of_synthetic_digits_measures_accuracy_alone(
    evaluate: Evaluate, report: Path, capsys: Shown
) -> None:
    with serving(RightServer()) as target:
        assert evaluate(target, data="synthetic:3000") == 0
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "these 3,000 images were drawn by a program" in page
    assert "sha256 <code>None" not in page
    record = read_report(report)
    (model,) = record["models"]
    assert record["data"]["images"] == model["served"]["count"] == 3000
    assert model["served"]["accuracy"] > 0.6
    assert model["offline"] is None
    assert record["data"]["names"] == []
    assert record["data"]["synthetic"] is True
    assert re.search(r"images: 3000/3000  \d+:\d\d  [\d,]+ images/s", capsys.readouterr().err)


@pytest.mark.usefixtures("_interruptible")
def test_stream_that_is_interrupted_reports_what_it_has(evaluate: Evaluate, report: Path) -> None:
    class Interrupting(RightServer):
        calls = itertools.count()

        def before(self, method: str, context: Any) -> None:
            if next(self.calls) == 80:
                _thread.interrupt_main()

    with serving(Interrupting()) as target:
        assert evaluate(target, data="synthetic:1000000") == 130
    record = read_report(report)
    assert record["verdict"] == "incomplete"
    assert record["models"][0]["served"]["count"] >= 2000


def test_ctrl_c_in_the_terminal_ends_in_a_report(models: Path, report: Path) -> None:
    begun = threading.Event()

    class Noting(RightServer):
        calls = itertools.count()

        def before(self, method: str, context: Any) -> None:
            if next(self.calls) == 100:
                begun.set()

    with serving(Noting()) as target:
        flags = ["--target", target, "--models", str(models), "--report", str(report)]
        process = subprocess.Popen(
            [sys.executable, "-c", _INTERRUPTIBLE, *flags, "--data", "synthetic:1000000"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert begun.wait(60)
        process.send_signal(signal.SIGINT)
        shown, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "verdict: incomplete (exit code 130)" in shown
    assert "Traceback" not in errors
    assert read_report(report)["complete"] is False


def test_folder_of_labelled_images_is_measured(
    evaluate: Evaluate, report: Path, tmp_path: Path
) -> None:
    split = the_split()
    write_pictures(tmp_path / "scans", split.images, split.labels.tolist())
    (tmp_path / "scans" / "3" / "Thumbs.db").write_bytes(b"no picture")
    with serving(RightServer()) as target:
        assert evaluate(target, data=str(tmp_path / "scans")) == 0
    (model,) = read_report(report)["models"]
    assert (model["served"]["correct"], model["served"]["count"]) == (37, 40)
    assert read_report(report)["data"]["synthetic"] is False


def test_pictures_of_any_size_and_of_some_classes_are_measured(
    evaluate: Evaluate, report: Path, tmp_path: Path
) -> None:
    split = the_split()
    index = int(np.flatnonzero(nearest_mean(split.images)[0] == split.labels)[0])
    label = int(split.labels[index])
    paper = np.full((200, 150), 255, np.uint8)
    paper[40:136, 20:116] = np.kron(split.images[index], np.ones((3, 3), np.uint8))
    data = io.BytesIO()
    Image.fromarray(paper).save(data, "JPEG", quality=95)
    (tmp_path / "scans" / str(label)).mkdir(parents=True)
    (tmp_path / "scans" / str(label) / "photo.jpg").write_bytes(data.getvalue())
    with serving(RightServer()) as target:
        assert evaluate(target, data=str(tmp_path / "scans")) == 0
    served = read_report(report)["models"][0]["served"]
    assert (served["correct"], served["count"]) == (1, 1)
    assert served["confusion_matrix"][label][label] == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("3/broken.png", "broken.png: "),
        ("10/a.png", "10: unexpected"),
        ("notes.txt", "notes.txt: unexpected"),
        ("3/deeper/a.png", "deeper: is no file"),
        ("3/.hidden", "holds no picture"),
    ],
)
def test_folder_with_anything_else_is_exit_4_and_the_file_is_named(
    path: str, said: str, evaluate: Evaluate, tmp_path: Path, capsys: Shown
) -> None:
    (tmp_path / "scans" / "3").mkdir(parents=True)
    (tmp_path / "scans" / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "scans" / path).write_bytes(b"no picture")
    with serving(RightServer()) as target:
        assert evaluate(target, data=str(tmp_path / "scans")) == 4
    shown = capsys.readouterr()
    assert said in shown.out + shown.err


def test_picture_that_cannot_be_read_leaves_the_figures_of_those_before_it(
    evaluate: Evaluate, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluator.stream._BLOCK", 10)
    images, _ = synthetic_digits(30, 61)
    write_pictures(tmp_path / "scans", images, [0] * 30)  # 0/ is read before 1/
    (tmp_path / "scans" / "1").mkdir()
    (tmp_path / "scans" / "1" / "broken.png").write_bytes(b"no picture")
    with serving(RightServer()) as target:
        assert evaluate(target, data=str(tmp_path / "scans")) == 4
    record = read_report(report)
    assert "broken.png" in record["sentence"]
    assert record["models"][0]["served"]["count"] == 30
