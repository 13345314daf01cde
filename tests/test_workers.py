"""Tasks run in processes of their own, and none of these outlives what it was started for."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import worker_tasks
from conftest import ROOT

from gurmukhi.errors import ParityError
from trainer.workers import WorkerError, run_tasks


def ignore(task: Any, word: Any) -> None: ...


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let spawned processes import the tasks."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_task_gives_its_result() -> None:
    results = dict(run_tasks(worker_tasks.double, range(5), jobs=2, on_word=ignore))
    assert results == {task: 2 * task for task in range(5)}


def test_words_arrive_with_their_task() -> None:
    words: list[tuple[int, str]] = []
    tasks = run_tasks(
        worker_tasks.double, [3, 4], jobs=1, on_word=lambda task, word: words.append((task, word))
    )
    assert len(list(tasks)) == 2
    assert words == [(3, "doubling 3"), (4, "doubling 4")]


def test_no_tasks_start_no_process() -> None:
    assert list(run_tasks(worker_tasks.double, [], jobs=2, on_word=ignore)) == []


def test_an_error_in_a_task_is_raised_here() -> None:
    with pytest.raises(ParityError, match=r"task [12] differs"):
        list(run_tasks(worker_tasks.fail, [1, 2], jobs=2, on_word=ignore))


@pytest.mark.parametrize(
    ("task", "how"),
    [(worker_tasks.die_by_signal, "by SIGKILL"), (worker_tasks.leave, "with exit code 7")],
)
def test_a_worker_that_dies_is_named(task: Any, how: str) -> None:
    with pytest.raises(WorkerError, match=f"a worker process ended {how} before its task did"):
        list(run_tasks(task, [1, 2, 3], jobs=2, on_word=ignore))


def test_a_worker_that_cannot_start_is_an_error_and_no_broken_pipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerError, match="with exit code 9"):
        list(run_tasks(worker_tasks.double, range(9), jobs=1, on_word=ignore))


def test_leaving_early_ends_the_processes(tmp_path: Path) -> None:
    def leave(task: Path, word: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(worker_tasks.wait_long, [tmp_path] * 2, jobs=2, on_word=leave))
    for started in tmp_path.iterdir():
        assert not is_alive(int(started.name))


def test_the_environment_is_as_before_and_workers_use_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = dict(os.environ)
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
    results = dict(run_tasks(worker_tasks.threads_of_libraries, names, jobs=1, on_word=ignore))
    assert results == dict.fromkeys(names, "1")
    assert dict(os.environ) == before


def test_no_more_processes_than_tasks_are_started(tmp_path: Path) -> None:
    def leave(task: Path, word: str) -> None:
        time.sleep(0.5)  # time enough for others to show themselves
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(worker_tasks.wait_long, [tmp_path], jobs=4, on_word=leave))
    assert len(list(tmp_path.iterdir())) == 1


def test_no_worker_sees_an_interrupt_even_while_it_starts() -> None:
    code = (
        "import worker_tasks\n"
        "from trainer.workers import run_tasks\n"
        "tasks = run_tasks(worker_tasks.is_interruptible, [0, 1], jobs=2, on_word=print)\n"
        "if __name__ == '__main__':\n"
        "    print([result for _, result in tasks])\n"
    )
    done = subprocess.run(  # a process of its own, as the first start is the odd one
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[False, False]\n"
