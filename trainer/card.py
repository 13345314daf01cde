"""Render a bundle's MODEL_CARD.md from its figures."""

import json
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.audit import NEAR_PIXELS, Leakage
from gurmukhi.bundle import Manifest
from gurmukhi.evaluation import Evaluation
from gurmukhi.labels import GLYPHS
from gurmukhi.metrics import class_wise_accuracy

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

## Accuracy on the test split
| images | correct | accuracy |
|---|---|---|
{accuracy_rows}
{published}
| class | accuracy, one-vs-rest |
|---|---|
{class_rows}

## Parity
The graph gives the native model's label on all {parity_images} images that were tried (train, test,
golden and synthetic), {near_ties} near-ties apart. Scores differ by {difference:.2g} at the most;
{tolerance:g} is allowed.

## Limits
One glyph a picture, dark on light after preprocessing, fitted to the frame. Anything is read as a
digit: a picture of something else gets an answer too. On {test_images} images one image is
{one_image:.2f} percentage points.
"""


def render_card(
    manifest: Manifest, evaluation: Evaluation, leakage: Leakage, published_correct: int | None
) -> str:
    """Fill in the card; `published_correct` is the study's count on the real test images."""
    right = evaluation.labels == evaluation.predictions
    near = leakage.near
    compare = published_correct is not None and manifest.data.source == "real"
    class_wise = class_wise_accuracy(evaluation.labels, evaluation.predictions)
    return _CARD.format(
        name=manifest.name,
        version=manifest.version,
        train_images=manifest.data.train_images,
        test_images=len(right),
        source=_SOURCES[manifest.data.source],
        leaked=len(leakage.identical),
        near=int(near.sum()),
        near_pixels=NEAR_PIXELS,
        hyperparameters=json.dumps(manifest.hyperparameters, ensure_ascii=False, indent=2),
        seed=manifest.seed,
        protocol=manifest.selection["protocol"],
        accuracy_rows="\n".join(
            _accuracy_row(label, right[subset])
            for label, subset in (("all", near | ~near), ("near", near), ("far", ~near))
            if subset.any()
        ),
        published=f"\nPublished: {published_correct} correct.\n" if compare else "",
        class_rows="\n".join(
            f"| {glyph} | {value:.4f} |" for glyph, value in zip(GLYPHS, class_wise, strict=True)
        ),
        parity_images=manifest.parity["images"],
        near_ties=len(manifest.parity["near_ties"]),
        difference=manifest.parity["max_score_difference"],
        tolerance=manifest.score_tolerance,
        one_image=100 / len(right),
    )


def _accuracy_row(label: str, right: NDArray[np.bool_]) -> str:
    return f"| {label} | {int(right.sum())} of {len(right)} | {right.mean():.4f} |"
