"""The MNIST table: every row's results beside the published ones, as cells and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from gurmukhi.mnist import MNIST_SHA256
from trainer.study.mnist_findings import describe_findings
from trainer.study.mnist_result import RowResult
from trainer.study.published import INFERRED, MNIST_MINUTES
from trainer.study.settings import Settings


@dataclass(frozen=True, slots=True)
class MnistStudy:
    """The whole table; `seconds` is the time of this run, kept rows not counted."""

    results: Sequence[RowResult]
    seconds: float
    kept: int  # outcomes that an earlier run had left


def to_json(study: MnistStudy, settings: Settings) -> str:
    """The study as report.json holds it."""
    record: dict[str, Any] = {
        "schema": 1,
        "study": "mnist",
        "data_sha256": MNIST_SHA256,
        "seeds": list(settings.seeds),
        "jobs": settings.jobs,
        "seconds": round(study.seconds, 3),
        "rows_kept": study.kept,
        "published_minutes": round(MNIST_MINUTES, 2),
        "remarks": INFERRED,
        "findings": describe_findings(study.results),
        "holds": all(result.holds for result in study.results),
        "rows": [
            {
                "number": result.row.number,
                "config": asdict(result.row.config),
                "published": {
                    "accuracy": result.row.accuracy,
                    "class_wise_accuracy": result.row.class_wise,
                    "minutes": result.row.minutes,
                },
                "accuracy": round(result.accuracy, 8),
                "spread": round(float(np.std(result.accuracies)), 8),
                "seconds": round(result.seconds, 3),
                "holds": result.holds,
                "seeds": [
                    {
                        "seed": seed,
                        **scores.to_json(),
                        "losses": outcome.to_json()["losses"],
                        "finite": outcome.finite,
                        "seconds": round(outcome.seconds, 3),
                    }
                    for seed, scores, outcome in zip(
                        settings.seeds, result.scores, result.outcomes, strict=True
                    )
                ],
            }
            for result in study.results
        ],
    }
    return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


TABLE_HEADER: Final = (
    "row", "loss", "rate", "hidden", "published", "ours", "difference", "within", "published min",
    "ours s",
)  # fmt: skip


def table_rows(study: MnistStudy) -> list[list[str]]:
    """The table as cells, for the terminal and the report."""
    rows = []
    for result in study.results:
        row = result.row
        title, *_ = row.title.split(" ")
        spread = f" ± {np.std(result.accuracies):.4f}" if len(result.scores) > 1 else ""
        rows.append(
            [
                str(row.number),
                title,
                f"{row.config.learning_rate:g}",
                row.layers,
                f"{row.accuracy:.3f}",
                f"{result.accuracy:.4f}{spread}",
                f"{100 * (result.accuracy - row.accuracy):+.2f} pp".replace("-", "−"),
                ("yes" if result.holds else "NO") + (" (< 0.2)" if row.diverges else ""),
                f"{row.minutes:.2f}",
                f"{result.seconds:.1f}",
            ]
        )
    return rows
