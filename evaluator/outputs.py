"""Write the report's files: JSON, HTML, JUnit, predictions, matrices, a summary in Markdown."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluator.files import write_together
from evaluator.html import render_html
from evaluator.junit import render_junit
from evaluator.markdown import render_markdown
from evaluator.report import Record

HTML: Final = "report.html"
JSON: Final = "report.json"
JUNIT: Final = "junit.xml"
PREDICTIONS: Final = "predictions.jsonl"
CONFUSION: Final = "confusion.csv"
SUMMARY: Final = "summary.md"


def write_outputs(record: Record, images: NDArray[np.uint8], folder: Path) -> Path:
    """Write the files of a report, all or none of them; return the page's path."""
    texts = {
        JSON: to_json(record),
        JUNIT: render_junit(record),
        PREDICTIONS: "".join(_predictions(record)),
        CONFUSION: _confusion(record),
        SUMMARY: render_markdown(record),
        HTML: render_html(record, images),
    }
    write_together(folder, texts)
    return folder / HTML


def to_json(record: Record) -> str:
    """The text of `report.json`."""
    return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _predictions(record: Record) -> Iterator[str]:
    """A line for each model and image; `served` is null where no answer came."""
    data = record["data"]
    for model in record["models"]:
        served, offline = model["served"], model["offline"]
        if served is None or offline is None:
            continue
        for name, true, expected, got in zip(
            data["names"],
            data["labels"],
            offline["predictions"],
            served["predictions"],
            strict=True,
        ):
            line: dict[str, Any] = {
                "model": model["name"],
                "version": model["version"],
                "image": name,
                "true": true,
                "offline": expected,
                "served": got if got >= 0 else None,
            }
            yield json.dumps(line, ensure_ascii=False) + "\n"


def _confusion(record: Record) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "version", "side", "true", "predicted", "count"))
    for model in record["models"]:
        for side in ("offline", "served"):
            matrix = (model[side] or {}).get("confusion_matrix") or []
            for true, counts in enumerate(matrix):
                for predicted, count in enumerate(counts):
                    writer.writerow((model["name"], model["version"], side, true, predicted, count))
    return text.getvalue()
