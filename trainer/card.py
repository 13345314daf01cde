"""Render a bundle's MODEL_CARD.md from its figures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.audit import NEAR_PIXELS, Leakage
from gurmukhi.evaluation import Evaluation
from gurmukhi.labels import GLYPHS
from gurmukhi.manifest import Manifest
from gurmukhi.metrics import class_wise_accuracy, mcnemar_exact, wilson_interval

_SOURCES: Final = {
    "real": "the published Gurmukhi digits",
    "synthetic": "SYNTHETIC digits drawn by a generator: no figure here is one of real handwriting",
    "local": "a data set of the user's own",
}

_CARD: Final = """\
# {name}, version {version}

Reads one handwritten Gurmukhi digit (੦ to ੯) from a 32×32 image.

## Data
Fitted on {train_images} images and evaluated on {test_images}: {source}.
{leaked} of the {test_images} test images are pixel-identical to a training image, and {near} lie
within {near_pixels} pixels of one; those are the near ones below.

## Configuration
```json
{hyperparameters}
```
Seed {seed}. Selection: {protocol}.
{evidence}
## Accuracy on the test split
| images | correct | accuracy | 95 % interval |
|---|---|---|---|
{accuracy_rows}

Intervals are Wilson's. One image of {test_images} is {one_image:.2f} percentage points.
{published}{rivals}
| class | accuracy, one-vs-rest |
|---|---|
{class_rows}

## Robustness
Accuracy on the test split under mild corruptions; a mean of {mean_robustness:.4f}. Pixels are given
to the model as they are, not cleaned by the preprocessing of pictures.

| corruption | accuracy |
|---|---|
{robustness_rows}

## Calibration
{calibration}

## Parity
The graph gives the native model's label on all {parity_images} images that were tried (train, test,
golden and synthetic), {near_ties} near-ties apart. Scores differ by {difference:.2g} at the most;
{tolerance:g} is allowed.

## Speed
{speed}, on one thread of the machine
that fitted it, with other fits beside. `model.onnx` has {kilobytes} kB.

## Limits
One glyph a picture, dark on light after preprocessing, fitted to the frame; ten classes and no
eleventh. {doubt}
What near images of the test split are worth is not known: a new writer's digits are far ones.
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card says beyond the manifest and the evaluation."""

    leakage: Leakage
    published_correct: int | None  # the study's count on the real test images
    rivals: Sequence[Evaluation] = ()  # other versions on the same images
    microseconds: dict[int, float] = field(default_factory=dict)  # of a call, by its images
    graph_bytes: int = 0


def render_card(manifest: Manifest, evaluation: Evaluation, facts: Facts) -> str:
    """Fill in the card."""
    right = evaluation.labels == evaluation.predictions
    near = facts.leakage.near
    compare = facts.published_correct is not None and manifest.data.source == "real"
    class_wise = class_wise_accuracy(evaluation.labels, evaluation.predictions)
    return _CARD.format(
        name=manifest.name,
        version=manifest.version,
        train_images=manifest.data.train_images,
        test_images=len(right),
        source=_SOURCES[manifest.data.source],
        leaked=len(facts.leakage.identical),
        near=int(near.sum()),
        near_pixels=NEAR_PIXELS,
        hyperparameters=json.dumps(manifest.hyperparameters, ensure_ascii=False, indent=2),
        seed=manifest.seed,
        protocol=manifest.selection["protocol"],
        evidence=_evidence(manifest),
        accuracy_rows="\n".join(
            _accuracy_row(label, right[subset])
            for label, subset in (("all", near | ~near), ("near", near), ("far", ~near))
            if subset.any()
        ),
        published=f"Published: {facts.published_correct} correct.\n" if compare else "",
        rivals=_rivals(evaluation, facts.rivals),
        class_rows="\n".join(
            f"| {glyph} | {value:.4f} |" for glyph, value in zip(GLYPHS, class_wise, strict=True)
        ),
        mean_robustness=sum(manifest.robustness.values()) / max(len(manifest.robustness), 1),
        robustness_rows="\n".join(
            f"| {name} | {value:.4f} |" for name, value in manifest.robustness.items()
        ),
        calibration=_calibration(manifest),
        parity_images=manifest.parity["images"],
        near_ties=len(manifest.parity["near_ties"]),
        difference=manifest.parity["max_score_difference"],
        tolerance=manifest.score_tolerance,
        speed=" and ".join(
            f"{microseconds:.0f} µs for {images} image{'s' if images > 1 else ''}"
            for images, microseconds in facts.microseconds.items()
        ),
        kilobytes=round(facts.graph_bytes / 1000),
        one_image=100 / len(right),
        doubt=(
            f"An answer whose probability is under {manifest.warn_below:.3f} comes with the "
            "warning that the picture may be of no digit; such a picture gets a digit all the same."
            if manifest.warn_below
            else "Anything is read as a digit: a picture of something else gets an answer too."
        ),
    )


def _accuracy_row(label: str, right: NDArray[np.bool_]) -> str:
    correct, count = int(right.sum()), len(right)
    low, high = wilson_interval(correct, count)
    return f"| {label} | {correct} of {count} | {correct / count:.4f} | {low:.4f} to {high:.4f} |"


def _evidence(manifest: Manifest) -> str:
    evidence = manifest.selection
    if "errors" not in evidence:
        return ""
    again = evidence["on_other_folds"]
    return (
        f"It was the best of {evidence['candidates']} candidates, with {evidence['errors']} errors "
        f"in {evidence['images']}, and {again['errors']} on other folds, on which those within one "
        "error of the best were compared again. The best of several flatters itself a little.\n"
    )


def _calibration(manifest: Manifest) -> str:
    found = manifest.calibration
    if not found:
        return "None: probabilities, where there are any, are as the model gives them."
    return (
        f"Slopes {', '.join(f'{slope:.4g}' for slope in found['slopes'])}. Expected calibration "
        f"error {found['expected_calibration_error']:.4f} ({found['measured_on']}). No label is "
        "changed by it."
    )


def _rivals(evaluation: Evaluation, rivals: Sequence[Evaluation]) -> str:
    """A table of exact McNemar tests."""
    if not rivals:
        return ""
    mine = evaluation.predictions == evaluation.labels
    rows = []
    for rival in sorted(rivals, key=lambda one: (one.model, one.version)):
        theirs = rival.predictions == rival.labels
        ahead, behind = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
        p = mcnemar_exact(ahead, behind)
        rows.append(f"| {rival.model}/{rival.version} | {ahead} | {behind} | {p:.3g} |")
    table = "\n".join(rows)
    return (
        "\n| against | only this one right | only the other right | p (exact McNemar) |\n"
        f"|---|---|---|---|\n{table}\n"
    )
