"""Name labelled images that no bundle was evaluated on, and count answers on them."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluator.folder import count_pictures, holds_classes, read_pictures
from gurmukhi.dataset import holds_split
from gurmukhi.labels import CLASS_COUNT
from gurmukhi.manifest import DataOrigin
from gurmukhi.synthetic import synthetic_digits

# A seed of its own: 1 to 4 draw what models are fitted and proven on.
_SEED: Final = 6
_BLOCK: Final = 2000  # images in memory at a time: 2 MB of pixels
_SYNTHETIC: Final = re.compile(r"synthetic:([1-9]\d{0,9})")

Block = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (N, 32, 32) and their true labels (N,)."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Labelled images that no bundle was evaluated on."""

    kind: str  # "synthetic" or "local"
    location: str
    count: int
    folder: Path | None = None

    def may_be(self, origin: DataOrigin) -> bool:
        """Whether these are as many synthetic images as a bundle was evaluated on."""
        return self.kind == origin.source == "synthetic" and self.count == origin.test_images

    def blocks(self) -> Iterator[Block]:
        """The images, a block at a time; raises DataError."""
        if self.folder is not None:
            pictures = read_pictures(self.folder)
            while taken := list(itertools.islice(pictures, _BLOCK)):
                images, labels = zip(*taken, strict=True)
                yield np.stack(images), np.array(labels, np.int64)
            return
        for start in range(0, self.count, _BLOCK):
            yield synthetic_digits(min(_BLOCK, self.count - start), _SEED, start=start)


@dataclass(slots=True)
class Tally:
    """What was counted of one version's answers."""

    matrix: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((CLASS_COUNT, CLASS_COUNT), np.int64)
    )
    lost: int = 0
    malformed: int = 0
    why: str = ""  # the first loss or malformed answer
    seconds: float = 0.0  # spent on its calls


def find_stream(spec: str | None) -> Stream | None:
    """The stream that `--data` names; None where it names a data set.

    `synthetic:N` and a folder with any of the classes 0 to 9 right in it are streams.
    """
    if spec is None:
        return None
    if match := _SYNTHETIC.fullmatch(spec):
        count = int(match[1])
        return Stream("synthetic", f"generator, seed {_SEED}, {count} images", count)
    folder = Path(spec)
    if holds_split(folder, "test") or not holds_classes(folder):
        return None
    return Stream("local", str(folder), count_pictures(folder), folder)
