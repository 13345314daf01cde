"""A serving process stays on one CPU where it is told to, or where nobody else uses its CPUs."""

import os
import signal
import time
from pathlib import Path

import pytest
from conftest import serving

from server.cpus import has_cpus_to_itself

CPUS = os.sched_getaffinity(0)


def threads_of(pid: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]


def children_of(pid: int) -> list[int]:
    """The processes that a server started, its workers by their many threads."""
    children = [
        int(child)
        for thread in threads_of(pid)
        for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    ]
    return [child for child in children if len(threads_of(child)) > 4]


def test_a_pinned_server_has_all_its_threads_on_one_cpu(models: Path) -> None:
    with serving(models, "--pin", "on") as running:
        # Those that listen for signals and began before it do not count.
        threads = [t for t in threads_of(running.process.pid) if os.sched_getscheduler(t)]
        assert len(threads) > 4
        places = {frozenset(os.sched_getaffinity(thread)) for thread in threads}
        assert len(places) == 1
        assert len(places.pop()) == 1
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}


def test_an_unpinned_server_may_use_every_cpu(models: Path) -> None:
    with serving(models, "--pin", "off") as running:
        for thread in threads_of(running.process.pid):
            assert os.sched_getaffinity(thread) == CPUS
            assert os.sched_getscheduler(thread) == os.SCHED_OTHER


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU has no two places")
def test_pinned_workers_have_a_cpu_each_and_a_new_one_takes_the_old_ones(models: Path) -> None:
    with serving(models, "--pin", "on", "--workers", "2") as running:
        before = {pid: os.sched_getaffinity(pid) for pid in children_of(running.process.pid)}
        assert len(before) == 2
        assert len({frozenset(cpus) for cpus in before.values()}) == 2
        lost, cpus = before.popitem()
        os.kill(lost, signal.SIGKILL)
        until = time.monotonic() + 60
        while not (fresh := set(children_of(running.process.pid)) - {lost, *before}):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert os.sched_getaffinity(fresh.pop()) == cpus


def test_cpus_are_shared_unless_all_speaks_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: len(CPUS))
    cgroup, root = tmp_path / "cgroup", tmp_path / "root"
    cgroup.mkdir()
    root.mkdir()
    assert has_cpus_to_itself(cgroup, root)  # a whole machine
    (root / ".dockerenv").touch()
    assert not has_cpus_to_itself(cgroup, root)
    (root / ".dockerenv").unlink()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert not has_cpus_to_itself(cgroup, root)
    (cgroup / "cpu.max").write_text(f"{len(CPUS)}00000 100000")
    assert not has_cpus_to_itself(cgroup, root)  # as large as the machine, but a share of it
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert has_cpus_to_itself(cgroup, root)  # the static CPU manager's
    (cgroup / "cpu.max").write_text("150000 100000")
    assert not has_cpus_to_itself(cgroup, root)
