"""How many CPUs this process may use: its affinity, and its container's limit."""

import math
import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")


def cpu_limit(cgroup: Path = _CGROUP) -> int:
    """Whole CPUs, one at least: the affinity mask, capped by the cgroup's quota rounded up.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst, `cpu.max`; for version 1
    `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    """
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


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
