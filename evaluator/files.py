"""Write files whole or not at all."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that no half of it is seen; raises OSError with its name."""
    write_together(path.parent, {path.name: text})


def write_together(folder: Path, texts: Mapping[str, str]) -> None:
    """Write text files of a folder, all or none of them; raises OSError with a file's name.

    Each is written beside its place, and renamed there when all are complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    complete: dict[Path, Path] = {}  # where it is, where it goes
    try:
        for name, text in texts.items():
            complete[_write_beside(folder / name, text)] = folder / name
        for beside, path in complete.items():
            beside.replace(path)
    except BaseException:
        for beside in complete:
            beside.unlink(missing_ok=True)
        raise


def _write_beside(path: Path, text: str) -> Path:
    beside = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        beside = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        beside.chmod(0o644)  # mkstemp's files are for their owner alone
    except BaseException as error:
        if beside:
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # of a full disk it would name no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    return beside
