"""The flags of `gurmukhi-train`'s commands; what they run takes seconds to import."""

import argparse
import os
from pathlib import Path

from gurmukhi.command import (
    DATA_HELP,
    add_data_flag,
    add_folder_flag,
    add_models_flag,
    whole_number,
)
from trainer.names import MODELS


def add_fit_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `fit`."""
    add_models_flag(
        parser, "the model repository to publish into (default: $GURMUKHI_MODELS or %(default)s)"
    )
    add_data_flag(parser)
    _add_model_flag(parser, "fit")
    parser.add_argument(
        "--versions",
        type=int,
        nargs="+",
        choices=(1, 2),
        default=(1, 2),
        help="1 is the published configuration, 2 the best found (default: both)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), default=0, help="default: %(default)s"
    )
    parser.add_argument(
        "--parity-images",
        type=whole_number(10, 1_000_000),
        default=10_000,
        metavar="N",
        help="synthetic images in the parity gate, beside all real ones (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number(1, 64),
        default=min(len(os.sched_getaffinity(0)), 4),
        help="models fitted at the same time (default: one a core, %(default)s here)",
    )


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `search`."""
    add_data_flag(parser)
    _add_model_flag(parser, "search")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("selected.json"),
        metavar="FILE",
        help="the winners and their evidence; `fit` reads trainer/selected.json "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="finished trials, as JSON lines (default: FILE of --out with .trials.jsonl)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted search ended"
    )
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="try the first N candidates of each model alone",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number(1, 64),
        default=len(os.sched_getaffinity(0)),
        help="trials at the same time (default: one a core, %(default)s here)",
    )


def add_robustness_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `robustness`."""
    add_models_flag(parser, "the model repository (default: $GURMUKHI_MODELS or %(default)s)")
    add_data_flag(parser)
    add_folder_flag(
        parser,
        "--out",
        "robustness",
        "where the table, the plots and the figures go (default: %(default)s)",
    )


def add_study_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `study`."""
    parser.add_argument(
        "name", choices=("gurmukhi", "mnist"), help="which published table to reproduce"
    )
    add_folder_flag(
        parser, "--out", "studies", "write the report into DIR/<name>/ (default: studies)"
    )
    parser.add_argument(
        "--seeds",
        type=whole_number(1, 1000),
        default=1,
        metavar="K",
        help="train each network with K seeds; mean and spread are reported (default: 1)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, 2**31), default=0, help="the first seed (default: 0)"
    )
    add_data_flag(parser, f"of the Gurmukhi digits: {DATA_HELP}")
    parser.add_argument(
        "--jobs",
        type=whole_number(1, 256),
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="train N rows at a time (default: one a core)",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="train again the rows that an earlier run has left"
    )


def add_backprop_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `backprop`."""
    add_data_flag(parser)
    parser.add_argument(
        "--seed", type=whole_number(0, 2**31), default=0, help="of weights and batches (default: 0)"
    )


def add_synthetic_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `synthetic`."""
    add_data_flag(parser, f"the real digits: {DATA_HELP}")
    parser.add_argument(
        "--images",
        type=whole_number(100),
        default=10_000,
        help="drawn images to train on (default: %(default)s)",
    )
    parser.add_argument("--epochs", type=whole_number(1), default=12, help="default: %(default)s")
    parser.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), default=0, help="default: %(default)s"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write a contact sheet beside real images, the confusion matrices and the figures",
    )
    add_folder_flag(
        parser,
        "--out",
        "synthetic-report",
        "where the report goes; it shows real images, so it is not for publication "
        "(default: %(default)s)",
    )


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `data`."""
    add_data_flag(parser)
    parser.add_argument("--json", action="store_true", help="print the audit as JSON")
    parser.add_argument(
        "--export", type=Path, metavar="DIR", help="write the images out as PNG files into DIR"
    )


def _add_model_flag(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--model",
        action="append",
        choices=MODELS,
        help=f"{what} this model alone; may be repeated (default: all)",
    )
