"""Look for what would flatter or spoil a result: duplicates, leakage, odd classes, polarity."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.dataset import Split
from gurmukhi.image import INK
from gurmukhi.labels import CLASS_COUNT

# A test image is called near when it differs from some training image in at most this many pixels.
NEAR_PIXELS: Final = 10
_CHUNK: Final = 512  # test images compared at once


@dataclass(frozen=True, slots=True)
class SplitAudit:
    """What one split holds."""

    class_counts: list[int]  # (10,)
    duplicates: list[tuple[str, str]]  # pairs of names with equal pixels, the earlier first
    ink_share: float  # of all pixels
    border_ink_max: float  # the fullest border of an image; over 0.5 means inverted


@dataclass(frozen=True, slots=True)
class Leakage:
    """How close the test split lies to the training split."""

    identical: list[tuple[str, str]]  # test image, the training image that it repeats
    distances: NDArray[np.int64]  # (N test,) pixels that differ from the nearest training image

    @property
    def near(self) -> NDArray[np.bool_]:
        """(N test,) whether an image lies within NEAR_PIXELS of the training split."""
        return self.distances <= NEAR_PIXELS


def audit_split(split: Split) -> SplitAudit:
    """Count classes and ink, and find pixel-identical images."""
    ink = split.images == INK
    border = np.concatenate(
        [ink[:, 0], ink[:, -1], ink[:, 1:-1, 0], ink[:, 1:-1, -1]], axis=1
    )  # (N, 124)
    seen: dict[bytes, str] = {}
    duplicates = []
    for name, pixels in zip(split.names, split.images, strict=True):
        first = seen.setdefault(pixels.tobytes(), name)
        if first != name:
            duplicates.append((first, name))
    return SplitAudit(
        class_counts=np.bincount(split.labels, minlength=CLASS_COUNT).tolist(),
        duplicates=duplicates,
        ink_share=float(ink.mean()),
        border_ink_max=float(border.mean(axis=1).max()),
    )


def measure_leakage(train: Split, test: Split) -> Leakage:
    """Find the nearest training image of every test image, in pixels that differ."""
    distances, nearest = _nearest(test.images, train.images)
    identical = [(test.names[i], train.names[nearest[i]]) for i in np.flatnonzero(distances == 0)]
    return Leakage(identical, distances)


def _nearest(
    images: NDArray[np.uint8], others: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    distances, nearest = np.empty((2, len(images)), np.int64)
    other_signs = _signs(others)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        signs = _signs(images[part])
        # Equal pixels give +1 and different ones −1: the product is 1024 − 2 · distance, exactly.
        agreement = signs @ other_signs.T  # (at most _CHUNK, M)
        nearest[part] = agreement.argmax(axis=1)
        distances[part] = (signs.shape[1] - agreement.max(axis=1)) / 2
    return distances, nearest


def _signs(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.where(images.reshape(len(images), -1) == INK, np.float32(-1), np.float32(1))
