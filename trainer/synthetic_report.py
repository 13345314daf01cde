"""The command `gurmukhi-train synthetic`: what a model that saw drawn digits alone is worth."""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gurmukhi.dataset import Split, SplitName
from gurmukhi.errors import DataError
from gurmukhi.labels import CLASS_COUNT, GLYPHS
from gurmukhi.metrics import confusion_matrix, wilson_interval
from gurmukhi.sources import find_source
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.terminal import format_table, progress
from trainer.augment import Augmentation
from trainer.augmented_mlp import AugmentedMLPConfig, train_augmented_mlp
from trainer.mlp_graph import scale_pixels
from trainer.plots import confusion_grid, sample_grid, to_svg

_SEED: Final = 6  # images of its own
_TIMED: Final = 20_000
_COLUMNS: Final = 8  # of each kind in the contact sheet
_SPLITS: Final[tuple[SplitName, ...]] = ("train", "test")
_GOAL: Final = 0.95
_CAVEAT: Final = (
    "The skeletons were placed by hand after looking at contact sheets of the real images and at "
    "errors on them, so these figures are no blind test: they say how like the real digits the "
    "drawn ones are, not how the model would do on writers that nobody has looked at."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model makes of one real split."""

    split: str
    labels: NDArray[np.int64]  # (N,)
    predictions: NDArray[np.int64]  # (N,)

    @property
    def correct(self) -> int:
        return int((self.labels == self.predictions).sum())


def command(arguments: argparse.Namespace) -> int:
    """Train on drawn digits alone and read both real splits; print a table."""
    source = find_source(arguments.data)
    if source.kind == "synthetic":
        raise DataError(
            "there are no real digits to measure on; expected --data with a folder that holds them"
        )
    splits = {name: source.split(name) for name in _SPLITS}
    rate = _images_a_second()
    config = AugmentedMLPConfig(
        hidden=(512, 256), augmentation=Augmentation(), epochs=arguments.epochs
    )
    images, labels = synthetic_digits(arguments.images, _SEED)
    torch.set_num_threads(1)  # threads that share so small a batch mostly wait
    with progress("train", config.epochs, quiet=arguments.quiet) as shown:
        network = train_augmented_mlp(
            config,
            images,
            labels,
            seed=arguments.seed,
            on_epoch=lambda loss: shown.advance(note=f"loss {loss:.4f}"),
        )
    outcomes = [_read(network, name, split) for name, split in splits.items()]
    text = _describe(outcomes, f"{source.kind} ({source.location})", len(images), rate)
    print(text)  # noqa: T201
    if arguments.report:
        _write(arguments.out, outcomes, splits, text, rate)
        print(f"\nwritten to {arguments.out}")  # noqa: T201
    return 0


def _images_a_second() -> float:
    synthetic_digits(1000, _SEED)  # prepares the skeletons
    started = time.perf_counter()
    synthetic_digits(_TIMED, _SEED)
    return _TIMED / (time.perf_counter() - started)


def _read(network: torch.nn.Sequential, name: str, split: Split) -> Outcome:
    with torch.inference_mode():
        scores = network(scale_pixels(torch.from_numpy(split.images)))
    return Outcome(name, split.labels, scores.argmax(dim=1).numpy())


def _describe(outcomes: Sequence[Outcome], where: str, images: int, rate: float) -> str:
    rows = []
    for outcome in outcomes:
        count = len(outcome.labels)
        low, high = wilson_interval(outcome.correct, count)
        share = outcome.correct / count
        rows.append(
            (
                f"real {outcome.split}",
                f"{outcome.correct}/{count}",
                f"{share:.4f}",
                f"{low:.4f} to {high:.4f}",
                "reached" if share >= _GOAL else "missed",
                _confusions(outcome),
            )
        )
    header = ("split", "correct", "accuracy", "95 % interval", f"goal {_GOAL:.0%}", "read as")
    return "\n\n".join(
        [
            f"An MLP trained on {images} drawn digits and nothing else; data: {where}",
            format_table(header, rows),
            f"{rate:,.0f} images a second, in one process",
            _CAVEAT,
        ]
    )


def _confusions(outcome: Outcome) -> str:
    """The commonest errors, such as ੧→੭ ×4."""
    matrix = confusion_matrix(outcome.labels, outcome.predictions)
    np.fill_diagonal(matrix, 0)
    worst = np.argsort(-matrix, axis=None, kind="stable")[:3]
    pairs = (divmod(int(cell), CLASS_COUNT) for cell in worst if matrix.flat[cell])
    return ", ".join(f"{GLYPHS[a]}→{GLYPHS[b]} ×{matrix[a, b]}" for a, b in pairs) or "–"


def _write(
    folder: Path,
    outcomes: Sequence[Outcome],
    splits: dict[SplitName, Split],
    text: str,
    rate: float,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    matrices = [
        (f"real {one.split}", confusion_matrix(one.labels, one.predictions)) for one in outcomes
    ]
    (folder / "confusion.svg").write_bytes(to_svg(confusion_grid(matrices, glyphs=True, columns=2)))
    (folder / "contact-sheet.svg").write_bytes(to_svg(_contact_sheet(splits["train"])))
    record = {
        "images_a_second": rate,
        "caveat": _CAVEAT,
        "splits": [
            {
                "split": one.split,
                "sha256": splits[name].sha256,
                "images": len(one.labels),
                "correct": one.correct,
                "confusion_matrix": matrix.tolist(),
            }
            for one, name, (_, matrix) in zip(outcomes, splits, matrices, strict=True)
        ],
    }
    (folder / "synthetic.json").write_text(
        json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    (folder / "synthetic.txt").write_text(text + "\n", encoding="utf-8")


def _contact_sheet(real: Split) -> Figure:
    """A row for each digit: drawn ones to the left, real ones to the right."""
    images, labels = synthetic_digits(CLASS_COUNT * _COLUMNS, _SEED)
    rng = np.random.default_rng(_SEED)
    shown, captions = [], []
    for digit in range(CLASS_COUNT):
        chosen = rng.choice(np.flatnonzero(real.labels == digit), _COLUMNS)
        shown += [*images[labels == digit], *real.images[chosen]]
        captions += [GLYPHS[digit], "drawn", *[""] * (_COLUMNS - 2)]
        captions += [GLYPHS[digit], "real", *[""] * (_COLUMNS - 2)]
    return sample_grid(np.stack(shown), captions, columns=2 * _COLUMNS)
