"""A small sound bundle, and the means to spoil it, for the tests that read bundles."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gurmukhi.bundle import Golden, publishing, write_manifest
from gurmukhi.evaluation import Evaluation
from gurmukhi.labels import GLYPHS
from gurmukhi.manifest import (
    CARD,
    EVALUATION,
    GOLDEN,
    MANIFEST,
    MODEL,
    DataOrigin,
    Manifest,
    TensorSpec,
)
from gurmukhi.synthetic import synthetic_digits

IMAGES, LABELS = synthetic_digits(20, 55)


def evaluation_of(name: str, version: int) -> Evaluation:
    """Answers for 20 images, two of them wrong."""
    predictions = LABELS.copy()
    predictions[:2] = (LABELS[:2] + 1) % 10
    scores = np.random.default_rng(0).normal(size=(20, 10)).astype(np.float32)
    names = tuple(f"test/{label}/{index}.png" for index, label in enumerate(LABELS))
    return Evaluation(name, version, "0" * 64, names, LABELS, predictions, scores)


def write_golden(path: Path, golden: Golden) -> None:
    np.savez_compressed(path, images=golden.images, digits=golden.digits, scores=golden.scores)


def manifest_of(name: str, version: int) -> Manifest:
    return Manifest(
        name=name,
        version=version,
        inputs=(TensorSpec("pixels", "UINT8", (-1, 32, 32)),),
        outputs=(TensorSpec("digit", "INT64", (-1,)), TensorSpec("scores", "FP32", (-1, 10))),
        labels=GLYPHS,
        data=DataOrigin("synthetic", "1" * 64, 100, "0" * 64, 20),
        seed=0,
        hyperparameters={"kind": "none"},
        selection={"protocol": "none"},
        libraries={"numpy": "2"},
        opset=21,
        parity={"images": 20},
        accuracy=0.9,
        score_tolerance=1e-4,
    )


def write_bundle(
    repository: Path, name: str = "mlp", version: int = 1, model: bytes = b"m"
) -> Path:
    """Publish a bundle whose model is no graph; returns its folder."""
    evaluation = evaluation_of(name, version)
    with publishing(repository, name, version) as folder:
        (folder / MODEL).write_bytes(model)
        (folder / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
        write_golden(folder / GOLDEN, Golden(IMAGES, LABELS, evaluation.scores))
        (folder / CARD).write_text("# a card\n", encoding="utf-8")
        write_manifest(folder, manifest_of(name, version))
    return repository / name / str(version)


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place."""
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")


def reseal(folder: Path) -> None:
    """Have the manifest state the sha256 that the files have by now."""

    def restate(manifest: Any) -> None:
        for name in manifest["files"]:
            data = (folder / name).read_bytes()
            manifest["files"][name] = hashlib.sha256(data).hexdigest()

    edit_json(folder / MANIFEST, restate)
