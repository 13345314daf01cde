"""Read the flags of `gurmukhi-evaluate` into a configuration."""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evaluator.latency import QUANTILES
from evaluator.run import CHECKS, PROFILES
from evaluator.settings import Budget, Settings
from gurmukhi.client import DEFAULT_TARGET, DEFAULT_TIMEOUT_SECONDS
from gurmukhi.command import (
    DATA_HELP,
    Parser,
    add_data_flag,
    add_folder_flag,
    add_models_flag,
    positive_number,
    whole_number,
)
from gurmukhi.credentials import Credentials, add_credential_flags, read_credentials

PROGRAM: Final = "gurmukhi-evaluate"
# What every other check builds on.
_ALWAYS: Final = ("reach", "data")
_EXAMPLES: Final = (
    "gurmukhi-evaluate --target localhost:8001 --models models/",
    "gurmukhi-evaluate --target dns:///digits.example:8001 --model svm-rbf:1 --profile quick",
    "gurmukhi-evaluate --target 10.0.0.7:8001 --tls-ca ca.pem --tls-server-name digits.example",
    "gurmukhi-evaluate --latency-budget p99=5ms --latency-budget mlp:p99=2ms",
    "gurmukhi-evaluate --baseline last/report.json --allow-lost 1",
    "gurmukhi-evaluate --profile conformance --metrics http://localhost:8002/metrics",
    "gurmukhi-evaluate compare stable:8001 canary:8001    (its own --help)",
    "gurmukhi-evaluate history history.sqlite             (its own --help)",
    "",
    "exit codes: 0 pass · 1 quality fell · 2 served differs from offline · 3 target unreachable",
    "or failing · 4 bad bundle, baseline or data · 5 latency budget · 64 wrong flag ·",
    "130 interrupted",
)
_BUDGET: Final = re.compile(
    r"(?:(?P<model>[^=]+):)?(?P<quantile>p[\d.]+)=(?P<value>\d+(?:\.\d+)?)(?P<unit>us|µs|ms|s)"
)
_UNITS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Config:
    """The command's flags."""

    target: str
    credentials: Credentials
    models: Path
    data: str | None
    report: Path
    wanted: tuple[str, ...]  # NAME or NAME:VERSION; none is all
    baseline: Path | None
    update_baseline: bool
    history: Path | None
    pushgateway: str | None
    settings: Settings
    command: tuple[str, ...]


def make_parser() -> Parser:
    """The command's parser."""
    parser = Parser(
        PROGRAM,
        "Replay the test images against a server and hold its answers against the bundles'.",
        _EXAMPLES,
    )
    beyond = (
        "; synthetic:N or a folder with 0/ to 9/ that no bundle was evaluated on measures accuracy"
    )
    add_subject_flags(parser, DATA_HELP + beyond)
    add_folder_flag(
        parser, "--report", "report", "where the report is written (default: %(default)s/)"
    )
    checks = parser.add_argument_group("which checks", f"In order: {', '.join(CHECKS)}.")
    checks.add_argument(
        "--profile",
        choices=PROFILES,
        default="nightly",
        help="quick: without batches, load, replicas and wrong requests; nightly: all; "
        "conformance: all, and counters must be exact (default: %(default)s)",
    )
    checks.add_argument("--only", type=_names, metavar="CHECK,…", help="only these checks")
    checks.add_argument(
        "--skip", type=_names, default=(), metavar="CHECK,…", help="all but these checks"
    )
    load = parser.add_argument_group("load and latency")
    _add_count(load, "--concurrency", 8, "calls at a time of the closed loop", span=(1, 256))
    what = "images a call of --data synthetic:N or a folder beyond the test set"
    _add_count(load, "--batch", 32, what, span=(1, 1000))
    load.add_argument(
        "--rate",
        type=positive_number,
        default=200.0,
        metavar="PER_SECOND",
        help="arrivals a second of the open loop, all models together (default: %(default)g)",
    )
    _add_count(load, "--seed", 0, "of the order and the arrivals")
    load.add_argument(
        "--latency-budget",
        type=_budget,
        action="append",
        default=[],
        metavar="[MODEL:]P99=5ms",
        help=f"fail past it; {', '.join(QUANTILES)}; us, ms or s; may be given again",
    )
    load.add_argument(
        "--metrics",
        type=_url,
        metavar="URL",
        help="the server's /metrics, to hold its counters against what was sent; {host} in it "
        "stands for the host of each address",
    )
    quality = parser.add_argument_group("change against an earlier run")
    quality.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="an earlier report.json, or a history, whose last run that passed is meant",
    )
    _add_count(quality, "--allow-lost", 0, "right answers a model may lose against the baseline")
    quality.add_argument(
        "--update-baseline",
        action="store_true",
        help="make this run the baseline, unless it fails or a model lost right answers",
    )
    quality.add_argument(
        "--accept", action="store_true", help="update the baseline though models lost answers"
    )
    told = parser.add_argument_group("who is told")
    told.add_argument(
        "--record", type=Path, metavar="FILE", help="append this run to an SQLite history"
    )
    told.add_argument(
        "--pushgateway", type=_url, metavar="URL", help="send gurmukhi_evaluation_* there"
    )
    return parser


def _add_count(
    group: "argparse._ArgumentGroup",
    flag: str,
    default: int,
    text: str,
    *,
    span: tuple[int, int | None] = (0, None),
) -> None:
    group.add_argument(
        flag,
        type=whole_number(*span),
        default=default,
        metavar="N",
        help=f"{text} (default: %(default)s)",
    )


def add_subject_flags(parser: Parser, data_help: str = DATA_HELP) -> None:
    """What is evaluated: target, bundles, data."""
    parser.add_argument(
        "--target",
        default=os.environ.get("GURMUKHI_TARGET", DEFAULT_TARGET),
        metavar="ADDRESS",
        help="HOST:PORT; several with commas or in a file; dns:///NAME:PORT for each address of "
        "a name (default: $GURMUKHI_TARGET or %(default)s)",
    )
    add_models_flag(parser, "the model repository (default: $GURMUKHI_MODELS or %(default)s/)")
    add_data_flag(parser, data_help)
    add_model_flag(parser)
    parser.add_argument(
        "--timeout",
        type=positive_number,
        default=DEFAULT_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="deadline of each call (default: %(default)s)",
    )
    add_credential_flags(parser)


def add_model_flag(parser: Parser) -> None:
    """Which versions are meant; all where it is not given."""
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME[:VERSION]",
        help="only this model, or this version of it; may be given again (default: all)",
    )


def read_config(parser: Parser, arguments: argparse.Namespace, given: Sequence[str]) -> Config:
    """The configuration that parsed flags name; ends the command where they do not go together."""
    checks = PROFILES[arguments.profile] if arguments.only is None else arguments.only
    if refused := [name for name in arguments.skip if name in _ALWAYS]:
        parser.error(f"argument --skip: {refused[0]} cannot be skipped, all else builds on it")
    if arguments.profile == "conformance" and not arguments.metrics:
        parser.error("argument --profile: conformance needs --metrics URL")
    if arguments.accept and not arguments.update_baseline:
        parser.error("argument --accept: needs --update-baseline")
    if arguments.update_baseline and arguments.baseline and arguments.baseline.suffix != ".json":
        parser.error(
            "argument --update-baseline: needs a .json --baseline; --record keeps a history"
        )
    for flag in ("update_baseline", "accept"):
        if getattr(arguments, flag) and arguments.baseline is None:
            parser.error(f"argument --{flag.replace('_', '-')}: needs --baseline FILE")
    settings = Settings(
        checks=tuple(
            name
            for name in CHECKS
            if name in _ALWAYS or (name in checks and name not in arguments.skip)
        ),
        timeout_seconds=arguments.timeout,
        concurrency=arguments.concurrency,
        batch=arguments.batch,
        rate=arguments.rate,
        seed=arguments.seed,
        budgets=tuple(arguments.latency_budget),
        metrics_url=arguments.metrics or "",
        exact_metrics=arguments.profile == "conformance",
        allow_lost=arguments.allow_lost,
        accept_fall=arguments.accept,
        quiet=arguments.quiet,
    )
    return Config(
        target=arguments.target,
        credentials=read_credentials(parser, arguments),
        models=arguments.models,
        data=arguments.data,
        report=arguments.report,
        wanted=tuple(arguments.model),
        baseline=arguments.baseline,
        update_baseline=arguments.update_baseline,
        history=arguments.record,
        pushgateway=arguments.pushgateway,
        settings=settings,
        command=(PROGRAM, *given),
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in CHECKS:
            raise argparse.ArgumentTypeError(f"{name!r} is no check; expected {', '.join(CHECKS)}")
    return names


def _budget(text: str) -> Budget:
    match = _BUDGET.fullmatch(text)
    if match is None or match["quantile"] not in QUANTILES or not float(match["value"]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no budget; expected one of {', '.join(QUANTILES)}, such as p99=5ms"
        )
    seconds = float(match["value"]) * _UNITS[match["unit"]]
    return Budget(match["quantile"], seconds, match["model"] or "")


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no http:// or https:// address")
    return text
