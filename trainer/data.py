"""The command `gurmukhi-train data`: which data set, from where, and what is odd about it."""

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from PIL import Image

from gurmukhi.audit import NEAR_PIXELS, Leakage, SplitAudit, audit_split, measure_leakage
from gurmukhi.dataset import Split, SplitName
from gurmukhi.errors import DataError
from gurmukhi.labels import GLYPHS
from gurmukhi.sources import Source, find_source
from gurmukhi.terminal import format_table

# The folder of each split, as the published archives call it.
_FOLDERS: Final[dict[SplitName, str]] = {"train": "train", "test": "val"}


def command(arguments: argparse.Namespace) -> int:
    """Print what the data set is; export it where asked."""
    if arguments.export:
        _check_free(arguments.export)
    source = find_source(arguments.data)
    splits: dict[SplitName, Split] = {name: source.split(name) for name in _FOLDERS}
    audits = {name: audit_split(split) for name, split in splits.items()}
    leakage = measure_leakage(splits["train"], splits["test"])
    if arguments.json:
        print(json.dumps(_record(source, splits, audits, leakage), ensure_ascii=False, indent=1))  # noqa: T201
    else:
        print(_describe(source, splits, audits, leakage))  # noqa: T201
    if arguments.export:
        export(splits, arguments.export)
        if not arguments.json:
            print(f"\nexported to {arguments.export}")  # noqa: T201
    return 0


def export(splits: dict[SplitName, Split], folder: Path) -> None:
    """Write `<folder>/<split>/<digit>/<number>.png`, all or none; raises DataError."""
    _check_free(folder)
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        for name, split in splits.items():
            for index, (pixels, label) in enumerate(zip(split.images, split.labels, strict=True)):
                path = unfinished / _FOLDERS[name] / str(label) / f"{index + 1}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).convert("1").save(path)
        unfinished.chmod(0o755)  # mkdtemp's folders are for their owner alone
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"--export {folder}: is there already; expected a new or empty folder")


def _record(
    source: Source,
    splits: dict[SplitName, Split],
    audits: dict[SplitName, SplitAudit],
    leakage: Leakage,
) -> dict[str, Any]:
    return {
        "source": source.kind,
        "location": source.location,
        "splits": {
            name: {"images": len(split), "sha256": split.sha256, **asdict(audits[name])}
            for name, split in splits.items()
        },
        "leakage": {
            "identical": leakage.identical,
            "near_pixels": NEAR_PIXELS,
            "near": int(leakage.near.sum()),
        },
    }


def _describe(
    source: Source,
    splits: dict[SplitName, Split],
    audits: dict[SplitName, SplitAudit],
    leakage: Leakage,
) -> str:
    lines = [f"source    {source.kind} ({source.location})"]
    for name, split in splits.items():
        lines.append(f"{name:<9} {len(split)} images, sha256 {split.sha256}")
    header = ("split", "images", *GLYPHS, "ink", "fullest border", "duplicates")
    rows = [
        (
            name,
            str(len(splits[name])),
            *map(str, audit.class_counts),
            f"{audit.ink_share:.1%}",
            f"{audit.border_ink_max:.1%}",
            str(len(audit.duplicates)),
        )
        for name, audit in audits.items()
    ]
    lines += ["", format_table(header, rows), ""]
    for name, audit in audits.items():
        lines += [f"duplicate in {name}: {first} = {again}" for first, again in audit.duplicates]
        if audit.border_ink_max > 0.5:
            lines.append(f"polarity of {name}: an image has more ink than paper on its border")
    lines += [f"leakage: {test} = {train}" for test, train in leakage.identical]
    lines.append(
        f"leakage: {int(leakage.near.sum())} of {len(leakage.distances)} test images lie within "
        f"{NEAR_PIXELS} pixels of a training image"
    )
    return "\n".join(lines)
