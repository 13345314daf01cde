"""The MNIST study for its reader: the table, what it shows, and plots."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.mnist import Mnist
from trainer import plots
from trainer.study import curves
from trainer.study.curves import Curve
from trainer.study.mnist_findings import describe_findings
from trainer.study.mnist_result import RowResult
from trainer.study.mnist_table import TABLE_HEADER, MnistStudy, table_rows
from trainer.study.published import INFERRED, MNIST_MINUTES, MNIST_TOLERANCE
from trainer.study.report import Block, Plot, Report, Section, Table, Text
from trainer.study.settings import Settings


def make_report(study: MnistStudy, data: Mnist, settings: Settings) -> Report:
    """Put the study into sections."""
    held = sum(result.holds for result in study.results)
    kept = f", {study.kept} rows kept from before" if study.kept else ""
    seeds = len(settings.seeds)
    return Report(
        "MNIST: the published table, trained again",
        f"{held} of {len(study.results)} rows are within their bound. This run took "
        f"{study.seconds:.0f} seconds with {settings.jobs} processes{kept}; the published table "
        f"took {MNIST_MINUTES:.0f} minutes. Seeds: {seeds}, from {settings.seeds[0]}.",
        [
            Section(
                "The table",
                [
                    Table(TABLE_HEADER, table_rows(study)),
                    Text(
                        "Accuracy is on the 10,000 test images; a row holds within 0.8 percentage "
                        "points of the published accuracy, the diverged one below 0.2. Seconds "
                        "are of one seed on one core."
                    ),
                    _difference_plot(study),
                ],
            ),
            Section("What loss, rate and depth do", _findings(study)),
            Section("What the publication does not say", [Text(remark) for remark in INFERRED]),
            Section("Class-wise accuracy, one-vs-rest", [_class_table(study)]),
            Section("Confusion matrices", [_confusions(study)]),
            Section("Sample images", [_samples(data)]),
        ],
    )


def _difference_plot(study: MnistStudy) -> Plot:
    shown = [result for result in study.results if not result.row.diverges]
    figure = curves.published_and_ours(
        [f"{result.row.number}  {result.row.title}" for result in shown],
        [result.row.accuracy for result in shown],
        [result.accuracies for result in shown],
        tolerance=MNIST_TOLERANCE,
    )
    return Plot(
        "accuracy",
        "Difference to the published accuracy, in brackets, of every row but the diverged one.",
        plots.to_svg(figure),
    )


def _findings(study: MnistStudy) -> list[Block]:
    texts: list[Block] = [Text(text) for text in describe_findings(study.results)]
    return [*texts, *_loss_plots(study), *_rate_and_depth_plots(study)]


def _loss_plots(study: MnistStudy) -> list[Block]:
    nll = [result for result in study.results if result.row.config.loss == "nll"]
    others = [result for result in study.results if result.row.config.loss != "nll"]
    panels = [
        ("NLL, 128-64: the learning rate", _by_rate(nll)),
        ("NLL, 0.01: the layers", [r for r in nll if r.row.config.learning_rate == 0.01]),
        *((f"{result.row.title}: a scale of its own", [result]) for result in others),
    ]
    figure = curves.loss_curves(
        [(title, [_loss_curve(result) for result in shown]) for title, shown in panels if shown]
    )
    return [
        Plot(
            "losses",
            "Mean loss of each epoch, of the first seed. The losses of different panels are "
            "different quantities.",
            plots.to_svg(figure),
        )
    ]


def _loss_curve(result: RowResult) -> Curve:
    losses = result.outcomes[0].losses
    label = f"{result.row.config.learning_rate:g}, {result.row.layers}"
    return Curve(label, range(1, len(losses) + 1), losses)


def _rate_and_depth_plots(study: MnistStudy) -> list[Block]:
    nll = [result for result in study.results if result.row.config.loss == "nll"]
    rates = _by_rate(nll)
    deep = sorted(
        (r for r in nll if r.row.config.learning_rate == 0.01),
        key=lambda r: (len(r.row.config.hidden), r.row.config.hidden),
    )
    blocks: list[Block] = []
    if len(rates) > 1:
        x = [r.row.config.learning_rate for r in rates]
        figure = curves.accuracy_against(
            _both(x, rates),
            xlabel="learning rate (NLL, 128-64)",
            log_x=True,
            ticks=[(rate, f"{rate:g}") for rate in x],
        )
        blocks.append(Plot("rate", "Accuracy against the learning rate.", plots.to_svg(figure)))
    if len(deep) > 1:
        places = [float(place) for place in range(len(deep))]
        figure = curves.accuracy_against(
            _both(places, deep),
            xlabel="hidden layers: their number and widths (NLL, 0.01)",
            ticks=[
                (place, f"{len(r.row.config.hidden)}:\n{r.row.layers}")
                for place, r in zip(places, deep, strict=True)
            ],
            joined=False,
        )
        blocks.append(
            Plot("depth", "Accuracy against depth and width of the network.", plots.to_svg(figure))
        )
    return blocks


def _by_rate(results: Sequence[RowResult]) -> list[RowResult]:
    """Those of the layers that were trained at several rates."""
    chosen = [result for result in results if result.row.config.hidden == (128, 64)]
    return sorted(chosen, key=lambda result: result.row.config.learning_rate)


def _both(x: Sequence[float], results: Sequence[RowResult]) -> list[Curve]:
    return [
        Curve("ours", x, [result.accuracy for result in results]),
        Curve("published", x, [result.row.accuracy for result in results]),
    ]


def _class_table(study: MnistStudy) -> Table:
    rows = []
    for result in study.results:
        ours = np.mean([scores.class_wise for scores in result.scores], axis=0)
        for name, values in (("published", result.row.class_wise), ("ours", ours)):
            rows.append(
                [f"{result.row.number}  {result.row.title}", name, *(f"{v:.4f}" for v in values)]
            )
    return Table(["row", "", *map(str, range(10))], rows)


def _confusions(study: MnistStudy) -> Plot:
    panels: list[tuple[str, NDArray[np.int64]]] = [
        (f"{result.row.number}  {result.row.title}", result.scores[0].matrix)
        for result in study.results
    ]
    return Plot(
        "confusion",
        "Confusion matrices of the first seed: counts, errors shaded by their share of the class.",
        plots.to_svg(plots.confusion_grid(panels, glyphs=False)),
    )


_SAMPLES: Final = 5  # of each class


def _samples(data: Mnist) -> Plot:
    chosen = [
        index
        for start in range(_SAMPLES)
        for digit in range(10)
        for index in np.flatnonzero(data.test_labels == digit)[start : start + 1]
    ]
    figure = plots.sample_grid(
        255 - data.test_images[chosen],
        [str(data.test_labels[index]) for index in chosen],
        columns=10,
    )
    return Plot("samples", "Test images with their labels.", plots.to_svg(figure))
