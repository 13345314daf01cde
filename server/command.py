"""What `gurmukhi-serve` does: reads its flags, then checks or serves a model repository."""

import argparse
import json
import logging
from collections.abc import Sequence
from typing import Final

from prometheus_client import disable_created_metrics

from gurmukhi.command import Parser, complain, run
from gurmukhi.errors import EXIT_BAD_DATA
from server.check import check
from server.config import ServerConfig
from server.flags import add_arguments
from server.logs import start_logs
from server.serve import StopSignal, serve_alone, serve_with_workers
from server.tokens import Tokens

_EXAMPLES: Final = (
    "gurmukhi-serve --models models/",
    "gurmukhi-serve --models models/ --port 0 --metrics-port 0",
    "gurmukhi-serve --models models/ --workers auto --model-control poll --log-format json",
    "gurmukhi-serve --models models/ --check",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gurmukhi-serve`."""
    parser = _parser()
    return run(parser, lambda arguments: _serve(parser, arguments), argv)


def _parser() -> Parser:
    parser = Parser(
        "gurmukhi-serve",
        "Serve a model repository: gRPC (gurmukhi.v1.DigitService, Open Inference v2, health, "
        "reflection) and Prometheus metrics over HTTP. "
        "No version is served before it has reproduced its golden vectors.",
        _EXAMPLES,
    )
    add_arguments(parser)
    parser.add_argument(
        "--check", action="store_true", help="verify the repository and the flags, and end"
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print the settings as JSON, and end"
    )
    return parser


def _serve(parser: Parser, arguments: argparse.Namespace) -> int:
    config = ServerConfig.from_arguments(parser, arguments)
    if arguments.print_config:
        print(json.dumps(config.describe(), indent=2, ensure_ascii=False))  # noqa: T201
        return 0
    if arguments.check:
        return _check(config)
    _read_secrets(config)
    start_logs(config.log_format)
    logging.getLogger("server").setLevel(config.log_level)
    disable_created_metrics()  # a series for each series, which nobody reads
    stop = StopSignal()
    alone = config.workers == 1 and config.front == "grpcio"
    return serve_alone(config, stop) if alone else serve_with_workers(config, stop)


def _read_secrets(config: ServerConfig) -> None:
    """Have a bad certificate or token file end the start, before any worker meets it."""
    if config.tls:
        config.tls.read()
    if config.token_file:
        Tokens(config.token_file)


def _check(config: ServerConfig) -> int:
    """Say of everything that a start would look at whether it is good."""
    findings = list(check(config))
    for finding in findings:
        if finding.is_good:
            print(finding.text)  # noqa: T201
        else:
            complain("gurmukhi-serve", finding.text)
    return 0 if all(finding.is_good for finding in findings) else EXIT_BAD_DATA
