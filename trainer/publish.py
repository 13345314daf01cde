"""Write fitted versions into a model repository as bundles."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from gurmukhi.audit import Leakage
from gurmukhi.bundle import Golden, publishing, write_manifest
from gurmukhi.dataset import Split
from gurmukhi.evaluation import Evaluation
from gurmukhi.labels import GLYPHS
from gurmukhi.manifest import CARD, EVALUATION, GOLDEN, MODEL, DataOrigin, Manifest
from gurmukhi.sources import Source
from trainer.card import Facts, render_card
from trainer.graph import opset_of, tensor_specs
from trainer.parity import Parity
from trainer.recipes import Recipe
from trainer.triton import write_triton_config

_LIBRARIES: Final = ("numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx", "torch")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A version that has passed the parity gate, ready to be published."""

    recipe: Recipe
    graph: bytes
    parity: Parity
    evaluation: Evaluation
    golden: Golden
    robustness: dict[str, float]  # accuracy under the nine mild corruptions
    microseconds: dict[int, float]  # of a call, by the images in it


def publish(
    repository: Path,
    fitted: Fitted,
    source: Source,
    train: Split,
    seed: int,
    leakage: Leakage,
    rivals: Sequence[Evaluation] = (),
) -> None:
    """Write a version's bundle into the repository, whole or not at all.

    The card compares it with its rivals, other versions on the same images.
    """
    recipe, evaluation = fitted.recipe, fitted.evaluation
    graph = onnx.load_from_string(fitted.graph)
    with publishing(repository, recipe.name, recipe.version) as folder:
        (folder / MODEL).write_bytes(fitted.graph)
        (folder / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
        np.savez_compressed(
            folder / GOLDEN,
            images=fitted.golden.images,
            digits=fitted.golden.digits,
            scores=fitted.golden.scores,
        )
        manifest = Manifest(
            name=recipe.name,
            version=recipe.version,
            inputs=tensor_specs(graph.graph.input),
            outputs=tensor_specs(graph.graph.output),
            labels=GLYPHS,
            data=DataOrigin(
                source=source.kind,
                train_sha256=train.sha256,
                train_images=len(train),
                test_sha256=evaluation.data_sha256,
                test_images=len(evaluation.labels),
            ),
            seed=seed,
            hyperparameters=recipe.hyperparameters,
            selection=recipe.selection,
            libraries={name: version(name) for name in _LIBRARIES},
            opset=opset_of(graph),
            parity=_parity_record(fitted.parity),
            accuracy=evaluation.accuracy,
            score_tolerance=fitted.parity.tolerance,
            calibration=_calibration_record(recipe),
            warn_below=recipe.warn_below,
            robustness=fitted.robustness,
        )
        facts = Facts(
            leakage, recipe.published_correct, rivals, fitted.microseconds, len(fitted.graph)
        )
        card = render_card(manifest, evaluation, facts)
        (folder / CARD).write_text(card, encoding="utf-8")
        write_manifest(folder, manifest)
    write_triton_config(repository / recipe.name)


def _calibration_record(recipe: Recipe) -> dict[str, Any]:
    """The slopes, and what they leave to be desired on images that were not fitted to."""
    if not recipe.slopes:
        return {}
    reliability = recipe.selection["calibration"]
    return {
        "slopes": list(recipe.slopes),
        "expected_calibration_error": reliability["error"],
        "log_loss": reliability["log_loss"],
        "measured_on": f"{recipe.selection['images']} real training images, out of fold",
    }


def _parity_record(parity: Parity) -> dict[str, Any]:
    return {
        "images": parity.images,
        "labels_that_differ": 0,  # the gate lets no other count pass
        "max_score_difference": parity.max_score_difference,
        "near_ties": list(parity.near_ties),
    }
