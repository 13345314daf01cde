"""The Gurmukhi study's results beside the published ones, as cells and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from gurmukhi.dataset import Split
from trainer.mlp import MLPConfig
from trainer.study.kernel_values import KernelValues
from trainer.study.outcome import Outcome, Scores
from trainer.study.published import (
    EIGHT_DIGITS,
    GURMUKHI_MLP_ACCURACY,
    GURMUKHI_MLP_CLASS_WISE,
    GURMUKHI_MLP_CORRECT,
    GURMUKHI_MLP_LOSSES,
    GURMUKHI_MLP_TOLERANCE,
    GURMUKHI_SVMS,
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """One fitted model, measured."""

    outcome: Outcome
    scores: Scores


@dataclass(frozen=True, slots=True)
class GurmukhiStudy:
    """All models; `kind` and `location` say where the digits come from."""

    kind: str  # "real" for the published data set; only that is compared with what was published
    location: str
    train: Split
    test: Split
    config: MLPConfig
    seeds: tuple[int, ...]
    mlps: Sequence[Fitted]  # one a seed
    svms: dict[str, Fitted]
    gammas: dict[float, Fitted]  # the RBF machine over γ
    scale: float  # the γ that "scale" stands for
    kernel: KernelValues
    seconds: float

    @property
    def is_real(self) -> bool:
        """Whether this is the published data set."""
        return self.kind == "real"

    @property
    def correct(self) -> list[int]:
        """For each seed how many test images its MLP gets right."""
        return [int(fitted.scores.matrix.trace()) for fitted in self.mlps]

    def svm_holds(self, name: str) -> bool:
        """Whether an SVM's figures equal the published ones to eight digits."""
        ours, published = self.svms[name].scores, GURMUKHI_SVMS[name]
        differences = np.abs(
            np.array([ours.accuracy, *ours.class_wise])
            - np.array([published.accuracy, *published.class_wise])
        )
        return bool((differences <= EIGHT_DIGITS).all())

    @property
    def mlp_holds(self) -> bool:
        """Whether the MLP's mean over the seeds lies near the published accuracy."""
        return abs(float(np.mean(self.correct)) - GURMUKHI_MLP_CORRECT) <= GURMUKHI_MLP_TOLERANCE

    @property
    def failures(self) -> list[str]:
        """The rows that differ from what was published; none where nothing is compared."""
        if not self.is_real:
            return []
        failures = [name for name in self.svms if not self.svm_holds(name)]
        return failures if self.mlp_holds else ["mlp", *failures]


TABLE_HEADER: Final = ("model", "published", "ours", "reproduced", "seconds")


def table_rows(study: GurmukhiStudy) -> list[list[str]]:
    """The table as cells; the published column is empty for any other data."""
    accuracies = [fitted.scores.accuracy for fitted in study.mlps]
    ours = f"{np.mean(accuracies):.4f}"
    if len(accuracies) > 1:
        ours += f" ± {np.std(accuracies):.4f} ({len(accuracies)} seeds)"
    seconds = float(np.mean([fitted.outcome.seconds for fitted in study.mlps]))
    rows = [
        [
            "mlp",
            f"{GURMUKHI_MLP_ACCURACY}" if study.is_real else "–",
            ours,
            _word(study, holds=study.mlp_holds, equal="near"),
            f"{seconds:.2f}",
        ]
    ]
    for name, fitted in study.svms.items():
        rows.append(
            [
                name,
                f"{GURMUKHI_SVMS[name].accuracy:.8f}" if study.is_real else "–",
                f"{fitted.scores.accuracy:.8f}",
                _word(study, holds=study.svm_holds(name), equal="to eight digits"),
                f"{fitted.outcome.seconds:.2f}",
            ]
        )
    return rows


def _word(study: GurmukhiStudy, *, holds: bool, equal: str) -> str:
    if not study.is_real:
        return "not compared"
    return equal if holds else "NO"


def to_json(study: GurmukhiStudy) -> str:
    """The study as report.json holds it."""
    record: dict[str, Any] = {
        "schema": 1,
        "study": "gurmukhi",
        "source": study.kind,
        "location": study.location,
        "data_sha256": {"train": study.train.sha256, "test": study.test.sha256},
        "images": {"train": len(study.train), "test": len(study.test)},
        "compared_with_published": study.is_real,
        "holds": not study.failures if study.is_real else None,
        "seconds": round(study.seconds, 3),
        "mlp": {
            "config": asdict(study.config),
            "correct": study.correct,
            "seeds": [
                {"seed": seed, **_measured(fitted)}
                for seed, fitted in zip(study.seeds, study.mlps, strict=True)
            ],
        },
        "svms": {name: _measured(fitted) for name, fitted in study.svms.items()},
        "rbf": {
            "scale_gamma": study.scale,
            "training_pairs": len(study.kernel.between_train),
            "curve": [
                {
                    "gamma": gamma,
                    "accuracy": round(fitted.scores.accuracy, 8),
                    "median_kernel_digits": round(study.kernel.median_digits(gamma), 4),
                    "lost_pairs": study.kernel.lost_pairs(gamma),
                }
                for gamma, fitted in study.gammas.items()
            ],
        },
    }
    if study.is_real:
        record["mlp"]["published"] = {
            "accuracy": GURMUKHI_MLP_ACCURACY,
            "class_wise_accuracy": GURMUKHI_MLP_CLASS_WISE,
            "losses": GURMUKHI_MLP_LOSSES,
        }
        for name, published in GURMUKHI_SVMS.items():
            record["svms"][name] |= {
                "published": asdict(published),
                "equal_to_eight_digits": study.svm_holds(name),
            }
    return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _measured(fitted: Fitted) -> dict[str, Any]:
    return {**fitted.scores.to_json(), **fitted.outcome.to_json()}
