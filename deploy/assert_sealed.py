"""Fail where a container may do more than it should: write to its files, or act as root.

Run in each image by try-images.sh, as the container's command.
"""

import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Say what is wrong, a line each; the exit code is how many."""
    wrong = []
    if os.getuid() == 0 or os.getgid() == 0 or os.getgroups() not in ([], [os.getgid()]):
        wrong.append(f"runs as {os.getuid()}:{os.getgid()}, groups {os.getgroups()}")
    state = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines()
    )
    if int(state["CapEff"], 16) or int(state["CapPrm"], 16):
        wrong.append(f"has capabilities {state['CapEff'].strip()}")
    if state["NoNewPrivs"].strip() != "1":
        wrong.append("may gain privileges")
    for folder in ("/", "/usr", "/etc", "/var", sys.prefix):
        if not os.statvfs(folder).f_flag & os.ST_RDONLY:
            wrong.append(f"{folder} is not read-only")
    with tempfile.TemporaryFile(dir="/tmp") as file:
        file.write(b"x")
    for line in wrong:
        print(line, file=sys.stderr)  # noqa: T201
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
