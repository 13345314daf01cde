"""The command `gurmukhi-train`."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gurmukhi.command import Parser, run
from gurmukhi.errors import GurmukhiError
from trainer import flags
from trainer.imports import lasting_imports


class LibraryMissing(GurmukhiError):  # noqa: N818 - says what is missing
    """A command's libraries are not installed."""


class _Command(NamedTuple):
    module: str  # has `command`; imported when it is to run, as torch takes seconds
    add_flags: Callable[[argparse.ArgumentParser], None]
    description: str
    examples: Sequence[str]


_COMMANDS: Final = {
    "fit": _Command(
        "trainer.fit",
        flags.add_fit_flags,
        "Fit every model version, check its ONNX graph against it, and publish the bundles.",
        (
            "gurmukhi-train fit --models models/",
            "gurmukhi-train --data synthetic --model mlp --seed 3",
        ),
    ),
    "search": _Command(
        "trainer.search",
        flags.add_search_flags,
        "Find version 2 of every model by cross-validation on the training images alone.",
        (
            "gurmukhi-train search --out trainer/selected.json",
            "gurmukhi-train search --resume --model mlp",
        ),
    ),
    "robustness": _Command(
        "trainer.robustness_command",
        flags.add_robustness_flags,
        "Measure every model under corruptions, and its doubt at pictures of no digit.",
        ("gurmukhi-train robustness --models models/ --out robustness/",),
    ),
    "study": _Command(
        "trainer.study.command",
        flags.add_study_flags,
        "Reproduce the published tables, and compare with what was published.",
        (
            "gurmukhi-train study gurmukhi --seeds 20",
            "gurmukhi-train study mnist --out studies/",
        ),
    ),
    "backprop": _Command(
        "trainer.backprop_command",
        flags.add_backprop_flags,
        "Back-propagation by hand, checked against autograd and finite differences.",
        ("gurmukhi-train backprop",),
    ),
    "synthetic": _Command(
        "trainer.synthetic_report",
        flags.add_synthetic_flags,
        "Measure what a model trained on nothing but drawn digits is worth on real ones.",
        ("gurmukhi-train synthetic --report",),
    ),
    "data": _Command(
        "trainer.data",
        flags.add_data_flags,
        "Say which data set would be used, and audit it: duplicates, leakage, classes, polarity.",
        (
            "gurmukhi-train data",
            "gurmukhi-train data --data synthetic --export digits/",
        ),
    ),
}
_DEFAULT: Final = "fit"
_OURS: Final = ("gurmukhi", "trainer")  # a module of these that is missing is a fault of ours


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gurmukhi-train`; without a sub-command it fits."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, _DEFAULT)
    if words[0] in _COMMANDS:
        name = words.pop(0)
        chosen = _COMMANDS[name]
        parser = Parser(f"gurmukhi-train {name}", chosen.description, chosen.examples)
        chosen.add_flags(parser)
        return run(parser, lambda arguments: _run(chosen.module, arguments), words)
    return run(_overview(), lambda arguments: 0, words)


def _run(name: str, arguments: argparse.Namespace) -> int:
    try:
        with lasting_imports():
            module = importlib.import_module(name)
        code: int = module.command(arguments)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        raise LibraryMissing(
            f"needs {error.name}, which is not installed: "
            "pip install 'gurmukhi-digits[trainer]' brings it"
        ) from error
    return code


def _overview() -> Parser:
    parser = Parser(
        "gurmukhi-train",
        "Fit, measure and export the digit models. "
        "`gurmukhi-train COMMAND --help` says more of each command.",
        [line for command in _COMMANDS.values() for line in command.examples],
    )
    listed = "; ".join(f"{name}: {command.description}" for name, command in _COMMANDS.items())
    parser.add_argument(
        "command", choices=_COMMANDS, metavar="COMMAND", help=f"{listed} (default: {_DEFAULT})"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
