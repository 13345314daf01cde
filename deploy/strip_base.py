"""Remove from a base image what installs packages: pip, setuptools, wheel, ensurepip.

Run once by the Containerfile, by the base's own Python.
"""

import shutil
import sysconfig
from pathlib import Path

_NAMES = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack", "ensurepip")


def main() -> None:
    """Remove packages, their metadata, their commands and the wheels that ensurepip keeps."""
    folders = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")}
    folders |= {Path("/usr/lib/python3/dist-packages"), Path("/usr/share/python-wheels")}
    scripts = {Path(sysconfig.get_path("scripts")), Path("/usr/bin"), Path("/usr/local/bin")}
    for folder in folders:
        for name in _NAMES:
            for path in (folder / name, *folder.glob(f"{name}-*")):
                _remove(path)
    for folder in scripts:
        for path in (*folder.glob("pip*"), *folder.glob("wheel*"), *folder.glob("easy_install*")):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
