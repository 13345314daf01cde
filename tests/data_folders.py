"""Small data sets on disk, good and bad, for the tests that read them."""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gurmukhi.synthetic import synthetic_digits

IMAGES, LABELS = synthetic_digits(20, 77)


def encode(pixels: NDArray[np.uint8], kind: str = "PNG", **options: object) -> bytes:
    """A picture file of grey pixels; `1-bit TIFF` is as the real data set's are."""
    picture = Image.fromarray(pixels)
    if kind == "1-bit TIFF":
        # WhiteIsZero (tag 262 is 0) and CCITT: the polarity that a careless decoder inverts.
        options = {"compression": "group4", "tiffinfo": {262: 0}}
        picture, kind = picture.convert("1"), "TIFF"
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def files_of_split(stem: str) -> dict[str, bytes]:
    """`<stem>/<digit>/<number>.png` of the 20 IMAGES, two a class."""
    return {
        f"{stem}/{label}/{index}.png": encode(pixels)
        for index, (pixels, label) in enumerate(zip(IMAGES, LABELS, strict=True))
    }


def write_folder(folder: Path) -> Path:
    """Write a sound data set with `train/` and `val/`."""
    for stem in ("train", "val"):
        for name, data in files_of_split(stem).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """Write an archive of the files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
