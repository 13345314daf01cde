"""The command `gurmukhi-evaluate`: is what is served what was measured offline?"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from evaluator.files import write_whole
from evaluator.html import render_html
from evaluator.report import Occasion, make_record
from evaluator.run import run_checks
from evaluator.session import Session, read_split, read_subjects
from evaluator.table import show_record
from evaluator.target import Target
from evaluator.verdict import conclude
from gurmukhi.client import DEFAULT_TARGET, DEFAULT_TIMEOUT_SECONDS
from gurmukhi.command import Parser, positive_number, run
from gurmukhi.sources import DATA_HELP, find_source

PROGRAM: Final = "gurmukhi-evaluate"
_EXAMPLES: Final = (
    "gurmukhi-evaluate --target localhost:8001 --models models/",
    "gurmukhi-evaluate --target digits.example:8001 --models models/ --model svm-rbf:1",
    "",
    "exit codes: 0 pass · 2 served differs from offline · 3 target unreachable or failing ·",
    "4 bad bundle or data · 64 wrong flag · 130 interrupted",
)


@dataclass(frozen=True, slots=True)
class Config:
    """The command's flags."""

    target: str
    models: Path
    data: str | None
    report: Path
    wanted: tuple[str, ...]
    timeout_seconds: float
    quiet: bool
    command: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gurmukhi-evaluate`."""
    given = sys.argv[1:] if argv is None else list(argv)
    return run(_parser(), lambda arguments: evaluate(_config(arguments, given)), given)


def _parser() -> Parser:
    parser = Parser(
        PROGRAM,
        "Replay the test images against a server and hold its answers against the bundles'.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--target",
        default=os.environ.get("GURMUKHI_TARGET", DEFAULT_TARGET),
        metavar="HOST:PORT",
        help="the server (default: $GURMUKHI_TARGET or %(default)s)",
    )
    parser.add_argument(
        "--models",
        type=Path,
        default=Path(os.environ.get("GURMUKHI_MODELS", "models")),
        metavar="DIR",
        help="the model repository (default: $GURMUKHI_MODELS or %(default)s)",
    )
    parser.add_argument("--data", metavar="SOURCE", help=DATA_HELP)
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("report"),
        metavar="DIR",
        help="where report.json and report.html are written (default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME[:VERSION]",
        help="only this model, or this version of it; may be given again (default: all)",
    )
    parser.add_argument(
        "--timeout",
        type=positive_number,
        default=DEFAULT_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="deadline of each call (default: %(default)s)",
    )
    return parser


def _config(arguments: argparse.Namespace, given: Sequence[str]) -> Config:
    return Config(
        target=arguments.target,
        models=arguments.models,
        data=arguments.data,
        report=arguments.report,
        wanted=tuple(arguments.model),
        timeout_seconds=arguments.timeout,
        quiet=arguments.quiet,
        command=(PROGRAM, *given),
    )


def evaluate(config: Config) -> int:
    """Make all checks, write the report and return the exit code."""
    started, clock = datetime.now(UTC), time.monotonic()
    subjects = read_subjects(config.models, config.wanted)
    source = find_source(config.data)
    split = read_split(source)
    with Target(config.target, config.timeout_seconds) as target:
        session = Session(target, source, split, subjects, quiet=config.quiet)
        interrupted = run_checks(session)
    verdict = conclude(session.results, interrupted=interrupted)
    occasion = Occasion(started, time.monotonic() - clock, config.command)
    record = make_record(session, verdict, occasion)
    page = config.report / "report.html"
    write_whole(config.report / "report.json", _to_json(record))
    write_whole(page, render_html(record, split.images))
    if not (config.quiet and verdict.is_pass):
        print(show_record(record, colour=sys.stdout.isatty()))  # noqa: T201
        print(f"report: {page}")  # noqa: T201
    return verdict.exit_code


def _to_json(record: dict[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
