"""What the native model said of every test image: the record that a server is held against."""

import json
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from gurmukhi.bundle import Bundle
from gurmukhi.errors import BundleError
from gurmukhi.labels import CLASS_COUNT
from gurmukhi.manifest import EVALUATION
from gurmukhi.metrics import accuracy, class_wise_accuracy, confusion_matrix

FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Labels and scores of one model version on one split; holds no pixels."""

    model: str
    version: int
    data_sha256: str  # of the split
    names: tuple[str, ...]  # (N,)
    labels: NDArray[np.int64]  # (N,) the true ones
    predictions: NDArray[np.int64]  # (N,) the native model's
    scores: NDArray[np.float32]  # (N, 10)

    @property
    def accuracy(self) -> float:
        return accuracy(self.labels, self.predictions)

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """(10, 10), true classes in rows."""
        return confusion_matrix(self.labels, self.predictions)

    def to_json(self) -> str:
        """The text of `evaluation.json`: the answers, and the figures that follow from them."""
        record = {
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "version": self.version,
            "split": "test",
            "data_sha256": self.data_sha256,
            **self._figures(),
            "images": [
                {"name": name, "label": int(label), "predicted": int(predicted), "scores": scores}
                for name, label, predicted, scores in zip(
                    self.names, self.labels, self.predictions, self.scores.tolist(), strict=True
                )
            ],
        }
        return json.dumps(record, ensure_ascii=False, indent=1) + "\n"

    def _figures(self) -> dict[str, Any]:
        return {
            "count": len(self.labels),
            "correct": int((self.labels == self.predictions).sum()),
            "accuracy": self.accuracy,
            "class_wise_accuracy": class_wise_accuracy(self.labels, self.predictions).tolist(),
            "confusion_matrix": self.confusion_matrix.tolist(),
        }

    @classmethod
    def read(cls, bundle: Bundle) -> Self:
        """Read a bundle's `evaluation.json`.

        Raises BundleError where its sha256 is not the manifest's, or where its figures do not
        follow from its answers.
        """
        path = bundle.folder / EVALUATION
        try:
            record = json.loads(bundle.read(EVALUATION))
            evaluation = cls._parse(record)
            wrong = [key for key, value in evaluation._figures().items() if record[key] != value]
        except KeyError as error:
            raise BundleError(f"{path}: {error.args[0]} is missing") from error
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise BundleError(f"{path}: not an evaluation ({error})") from error
        if wrong:
            raise BundleError(f"{path}: its {wrong[0]} does not follow from its images")
        manifest = bundle.manifest
        if (evaluation.model, evaluation.version) != (manifest.name, manifest.version):
            raise BundleError(
                f"{path}: is of {evaluation.model}/{evaluation.version}, "
                f"the manifest of {manifest.name}/{manifest.version}"
            )
        return evaluation

    @classmethod
    def _parse(cls, record: dict[str, Any]) -> Self:
        if record["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"format_version is {record['format_version']!r}, expected {FORMAT_VERSION}"
            )
        images = record["images"]
        scores = np.array([image["scores"] for image in images], dtype=np.float32)
        if scores.shape != (len(images), CLASS_COUNT):
            raise ValueError(f"scores have the shape {scores.shape}")
        return cls(
            model=str(record["model"]),
            version=int(record["version"]),
            data_sha256=str(record["data_sha256"]),
            names=tuple(str(image["name"]) for image in images),
            labels=np.array([image["label"] for image in images], dtype=np.int64),
            predictions=np.array([image["predicted"] for image in images], dtype=np.int64),
            scores=scores,
        )
