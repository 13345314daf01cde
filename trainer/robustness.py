"""What a model makes of spoiled digits and of pictures of no digit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.bundle import Bundle
from gurmukhi.dataset import Split
from gurmukhi.manifest import MODEL
from trainer.calibration import measure_reliability
from trainer.corruptions import BOUNDED, CORRUPTIONS, Corruption
from trainer.model import Answers
from trainer.novelty import auroc
from trainer.parity import open_session, run_graph

SEED: Final = 0
Images = NDArray[np.uint8]
Reader = Callable[[Images], Answers]


@dataclass(frozen=True, slots=True)
class Robustness:
    """What one version makes of spoiled digits and of pictures of no digit."""

    name: str  # such as "mlp/2"
    clean: float
    accuracy: dict[str, list[float]]  # of each corruption, at the three strengths
    auroc: dict[str, float]  # of each family of non-digits; empty without probabilities
    warned: dict[str, float]  # the share of them, and of the digits, that gets a warning
    mild_reliability: dict[str, Any]  # of the nine mild corruptions together

    def mean(self, strength: int) -> float:
        """The mean of the nine bounded corruptions."""
        return float(np.mean([self.accuracy[c.name][strength] for c in BOUNDED]))


def corrupted_accuracy(read: Reader, corruption: Corruption, strength: int, split: Split) -> float:
    """The accuracy over all variants of one corruption."""
    variants = corruption.apply(split.images, strength, SEED)
    return float(np.mean([(read(images).digits == split.labels).mean() for images in variants]))


def mild_accuracies(read: Reader, split: Split) -> dict[str, float]:
    """The accuracy under each of the nine mild corruptions."""
    return {c.name: corrupted_accuracy(read, c, 0, split) for c in BOUNDED}


def measure(bundle: Bundle, test: Split, others: dict[str, Images]) -> Robustness:
    """Measure one bundle on the test split, and on families of non-digits."""
    session = open_session(bundle.read(MODEL))
    warn_below = bundle.manifest.warn_below

    def read(images: Images) -> Answers:
        return run_graph(session, images)

    clean = read(test.images)
    areas, warned = {}, {}
    confidence = _confidence(clean)
    if confidence is not None:
        warned["digits"] = float((confidence < warn_below).mean())
        for family, images in others.items():
            doubted = _confidence(read(images))
            if doubted is not None:
                areas[family] = auroc(confidence, doubted)
                warned[family] = float((doubted < warn_below).mean())
    return Robustness(
        name=f"{bundle.manifest.name}/{bundle.manifest.version}",
        clean=float((clean.digits == test.labels).mean()),
        accuracy={
            c.name: [corrupted_accuracy(read, c, strength, test) for strength in range(3)]
            for c in CORRUPTIONS
        },
        auroc=areas,
        warned=warned,
        mild_reliability=_mild_reliability(read, test) if confidence is not None else {},
    )


def _confidence(answers: Answers) -> NDArray[np.float32] | None:
    if answers.probabilities is None:
        return None
    return answers.probabilities[np.arange(len(answers.digits)), answers.digits]


def _mild_reliability(read: Reader, test: Split) -> dict[str, Any]:
    variants = [images for c in BOUNDED for images in c.apply(test.images, 0, SEED)]
    answers = read(np.concatenate(variants))
    if answers.probabilities is None:
        return {}
    labels = np.tile(test.labels, len(variants))
    return measure_reliability(answers.probabilities, answers.digits, labels).record()
