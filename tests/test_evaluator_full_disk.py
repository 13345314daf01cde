"""On a full disk the verdict is told, the file is named, and nothing is half written."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from evaluating import Evaluate, evaluate, models, read_report, report
from wrong_servers import DATA, RightServer, serving

from evaluator.__main__ import main
from evaluator.files import write_together
from evaluator.history import append_run, read_runs

__all__ = ["evaluate", "models", "report"]  # fixtures

# A file that may not grow past a limit fails as on a full disk, whoever runs the tests.
_LIMITED = """
import resource, signal, sys
from evaluator.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


def evaluate_limited(
    limit: int, target: str, models: Path, report: Path, *flags: str
) -> subprocess.CompletedProcess[str]:
    words = ["--target", target, "--models", str(models), "--data", DATA, "--only", "labels"]
    words += ["--report", str(report), *flags]
    command = [sys.executable, "-c", _LIMITED, str(limit), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_report_is_named_and_the_one_before_is_left_as_it_was(
    evaluate: Evaluate, models: Path, report: Path
) -> None:
    with serving(RightServer()) as target:
        assert evaluate(target, "--only", "labels") == 0
        before = contents(report)
        largest = max(before, key=lambda name: len(before[name]))
        # Its size differs from run to run: half of it is surely too little, and enough for others.
        limit = len(before[largest]) // 2
        assert all(len(content) < limit for name, content in before.items() if name != largest)
        done = evaluate_limited(limit, target, models, report)
    assert done.returncode == 4
    assert f"✗ outputs: {report / largest}: cannot be written (File too large)" in done.stdout
    assert "verdict: report not written (exit code 4)" in done.stdout
    assert contents(report) == before


def test_history_is_named_and_keeps_the_runs_that_it_had(
    evaluate: Evaluate, models: Path, report: Path, tmp_path: Path
) -> None:
    history = tmp_path / "history.sqlite"
    with serving(RightServer()) as target:
        assert evaluate(target, "--only", "labels") == 0
        room = 2 * max(map(len, contents(report).values()))
        while not history.exists() or history.stat().st_size <= room:
            append_run(history, read_report(report))
        before = len(read_runs(history, 10_000))
        flags = ("--record", str(history))
        done = evaluate_limited(history.stat().st_size, target, models, report, *flags)
    assert done.returncode == 4
    assert f"✗ outputs: {history}: " in done.stdout
    assert read_report(report)["exit_code"] == 4  # as the command says
    assert len(read_runs(history, 10_000)) == before
    assert main(["history", str(history)]) == 0


def test_wrong_answers_outrank_a_full_disk(models: Path, report: Path) -> None:
    class Wrong(RightServer):
        def sha256(self) -> str:
            return "0" * 64

    with serving(Wrong()) as target:
        done = evaluate_limited(100, target, models, report, "--only", "model")
    assert done.returncode == 2
    assert "cannot be written" in done.stdout


def test_files_are_written_all_or_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    (tmp_path / "b").mkdir()  # nothing can take its place
    with pytest.raises(OSError, match="directory"):
        write_together(tmp_path, {"c": "after", "b": "after"})
    assert (tmp_path / "a").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
