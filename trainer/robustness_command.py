"""The command `gurmukhi-train robustness`: accuracy under corruptions, and doubt at non-digits."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gurmukhi.bundle import Bundle, find_bundles, read_bundle
from gurmukhi.dataset import Split
from gurmukhi.errors import BundleError
from gurmukhi.sources import find_source
from gurmukhi.terminal import format_table, progress
from trainer.corruptions import CORRUPTIONS, STRENGTHS
from trainer.novelty import MNIST_FAMILY, mnist_shapes, non_digits
from trainer.plots import to_svg
from trainer.robustness import SEED, Robustness, measure
from trainer.robustness_plots import plot_reliability, plot_robustness


def command(arguments: argparse.Namespace) -> int:
    """Measure every bundle; print a table, write figures and plots."""
    bundles = [read_bundle(folder) for folder in find_bundles(arguments.models)]
    if not bundles:
        raise BundleError(f"{arguments.models}: holds no model")
    source = find_source(arguments.data)
    test = source.split("test")
    others = non_digits(test.images, SEED)
    foreign = mnist_shapes(SEED)
    if foreign is not None:
        others[MNIST_FAMILY] = foreign
    with progress("robustness", len(bundles), quiet=arguments.quiet) as shown:
        measured = []
        for bundle in bundles:
            measured.append(measure(bundle, test, others))
            shown.advance(note=measured[-1].name)
    where = f"{source.kind} ({source.location}), {len(test)} test images"
    text = _describe(measured, where, has_mnist=foreign is not None)
    print(text)  # noqa: T201
    _write(arguments.out, measured, bundles, source.kind, test, text)
    print(f"\nwritten to {arguments.out}")  # noqa: T201
    return 0


def _describe(measured: Sequence[Robustness], where: str, *, has_mnist: bool) -> str:
    parts = [f"data: {where}"]
    for strength, word in enumerate(STRENGTHS):
        header = (f"{word}, accuracy in %", *(one.name for one in measured))
        rows = [
            (
                f"{c.name} {c.strengths[strength]:g}{c.unit}{' *' if c.bounded else ''}",
                *(f"{100 * one.accuracy[c.name][strength]:.1f}" for one in measured),
            )
            for c in CORRUPTIONS
        ]
        rows.append(("mean of *", *(f"{100 * one.mean(strength):.1f}" for one in measured)))
        parts.append(format_table(header, rows))
    parts.append(_describe_doubt([one for one in measured if one.auroc]))
    if not has_mnist:
        parts.append("MNIST is not here ($MNIST_DATA_DIR): its shapes were left out")
    return "\n\n".join(part for part in parts if part)


def _describe_doubt(measured: Sequence[Robustness]) -> str:
    if not measured:
        return ""
    rows = [
        (family, *(f"{one.auroc[family]:.4f}" for one in measured)) for family in measured[0].auroc
    ]
    rows.append(("mean", *(f"{np.mean(list(one.auroc.values())):.4f}" for one in measured)))
    rows += [
        (f"warned of {family}, %", *(f"{100 * one.warned[family]:.1f}" for one in measured))
        for family in measured[0].warned
    ]
    rows.append(
        (
            "ECE, mild corruptions, %",
            *(f"{100 * one.mild_reliability['error']:.1f}" for one in measured),
        )
    )
    return format_table(("not a digit, AUROC", *(one.name for one in measured)), rows)


def _write(
    folder: Path,
    measured: Sequence[Robustness],
    bundles: Sequence[Bundle],
    kind: str,
    test: Split,
    text: str,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "data": {"source": kind, "test_sha256": test.sha256, "images": len(test)},
        "seed": SEED,
        "models": [
            {
                "model": one.name,
                "sha256": bundle.manifest.model_sha256,
                "clean": one.clean,
                "mean_of_nine": dict(zip(STRENGTHS, map(one.mean, range(3)), strict=True)),
                "accuracy": one.accuracy,
                "auroc": one.auroc,
                "warned": one.warned,
                "mild_reliability": one.mild_reliability,
            }
            for one, bundle in zip(measured, bundles, strict=True)
        ],
    }
    (folder / "robustness.json").write_text(
        json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    (folder / "robustness.txt").write_text(text + "\n", encoding="utf-8")
    (folder / "robustness.svg").write_bytes(
        to_svg(plot_robustness([(one.name, one.clean, one.accuracy) for one in measured]))
    )
    panels = [
        (one.name, bundle.manifest.selection.get("calibration", {}), one.mild_reliability)
        for one, bundle in zip(measured, bundles, strict=True)
        if one.mild_reliability
    ]
    if panels:
        (folder / "reliability.svg").write_bytes(to_svg(plot_reliability(panels)))
