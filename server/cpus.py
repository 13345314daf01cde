"""Which CPUs this process may use, and staying on one of them."""

import logging
import math
import os
from pathlib import Path
from typing import Final, Literal, get_args

Pin = Literal["auto", "on", "off"]
PINS: Final[tuple[Pin, ...]] = get_args(Pin)

_CGROUP: Final = Path("/sys/fs/cgroup")
# What Docker, Podman and systemd leave in a container; Kubernetes sets a variable.
_CONTAINER_MARKS: Final = (".dockerenv", "run/.containerenv", "run/systemd/container")

_log = logging.getLogger(__name__)


def cpu_limit(cgroup: Path = _CGROUP) -> int:
    """Whole CPUs, one at least: the affinity mask, capped by the cgroup's quota rounded up.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst, `cpu.max`; for version 1
    `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    """
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def pin(mode: Pin, place: int, processes: int) -> None:
    """Keep this process's threads on one of its CPUs: the `place`-th, in a circle.

    One that stays does not pay for handing the interpreter lock from CPU to CPU, and by SCHED_BATCH
    it is not put aside whenever it wakes another. "auto" does so only where nobody else is expected
    on these CPUs; where it is not allowed the log says so.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if mode == "off" or (mode == "auto" and (processes > len(allowed) or not has_cpus_to_itself())):
        return
    try:
        # Each thread that runs; those to come take it over from the one that starts them.
        for thread in [int(task.name) for task in Path("/proc/self/task").iterdir()]:
            os.sched_setaffinity(thread, {allowed[place % len(allowed)]})
            os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        _log.warning("cannot stay on one CPU: %s", error.strerror)


def has_cpus_to_itself(cgroup: Path = _CGROUP, root: Path = Path("/")) -> bool:
    """Whether this process has a whole machine, or CPUs that its container shares with no other.

    Pods that share a host see the same CPUs, and would all choose the same ones. Those of
    Kubernetes' static CPU manager have their own: fewer than the machine has, and a quota of
    exactly as many.
    """
    allowed, machine = len(os.sched_getaffinity(0)), os.cpu_count()
    quota = _quota(cgroup)
    if quota is not None:
        return quota == allowed != machine
    in_container = "KUBERNETES_SERVICE_HOST" in os.environ or any(
        (root / mark).exists() for mark in _CONTAINER_MARKS
    )
    return allowed == machine and not in_container


def _quota(cgroup: Path) -> float | None:
    try:
        if (unified := cgroup / "cpu.max").exists():
            limit, period = unified.read_text().split()
        else:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        return None if limit in ("max", "-1") else int(limit) / int(period)
    except (OSError, ValueError):  # no cgroup, or one that says nothing of CPUs
        return None
