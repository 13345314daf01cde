"""The command `gurmukhi-classify`: picture files to digits."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from gurmukhi.client import DEFAULT_TARGET, Classification, DigitClient, Picture
from gurmukhi.command import Parser, complain, one_line, positive_number, run
from gurmukhi.credentials import Credentials, add_credential_flags, read_credentials
from gurmukhi.errors import CallError, DataError, ImageError
from gurmukhi.image import decode
from gurmukhi.terminal import format_table

_SUFFIXES: Final = {".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".webp"}
_STANDARD_INPUT: Final = "-"
# Past this a picture is reduced to its digit before it is sent: servers take 1 MiB by default.
_MAX_SENT_BYTES: Final = 900_000
_EXAMPLES: Final = (
    "gurmukhi-classify digit.png photo.jpg",
    "gurmukhi-classify --model svm-rbf:1 --csv scans/ > digits.csv",
    "gurmukhi-classify --target digits.example:8001 --tls-ca ca.pem --token-file token digit.png",
    "curl -s https://example.org/digit.png | gurmukhi-classify --json -",
)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One picture's answer, or why it has none."""

    name: str
    answer: Classification | None
    error: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gurmukhi-classify`."""
    parser = _parser()
    return run(parser, lambda flags: _classify(flags, read_credentials(parser, flags)), argv)


def _parser() -> Parser:
    parser = Parser(
        "gurmukhi-classify", "Ask a running server which digits pictures show.", _EXAMPLES
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="picture files, folders, or - for standard input"
    )
    parser.add_argument(
        "--target",
        default=os.environ.get("GURMUKHI_TARGET", DEFAULT_TARGET),
        metavar="HOST:PORT",
        help="the server (default: $GURMUKHI_TARGET or %(default)s)",
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="NAME[:VERSION]",
        help="the model (default: the server's default model, its newest version)",
    )
    parser.add_argument(
        "--timeout",
        type=positive_number,
        default=5.0,
        metavar="SECONDS",
        help="deadline of each call (default: %(default)s)",
    )
    add_credential_flags(parser)
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print one JSON object a line")
    style.add_argument("--csv", action="store_true", help="print comma-separated values")
    return parser


def _classify(arguments: argparse.Namespace, credentials: Credentials) -> int:
    model, _, version = arguments.model.partition(":")
    names = [name for argument in arguments.images for name in _picture_names(argument)]
    outcomes = []
    try:
        with DigitClient(
            arguments.target,
            timeout_seconds=arguments.timeout,
            credentials=credentials.channel,
            server_name=credentials.server_name,
            token=credentials.token,
        ) as client:
            for name in names:
                outcomes.append(_ask(client, name, model, version))
                if arguments.json:
                    print(json.dumps(_record(outcomes[-1]), ensure_ascii=False), flush=True)  # noqa: T201
    finally:  # also where the server fails half-way: what it has said is not lost
        if arguments.csv:
            _write_csv(outcomes)
        elif not arguments.json and (answered := [_row(one) for one in outcomes if one.answer]):
            header = ("image", "digit", "glyph", "confidence", "model", "warnings")
            print(format_table(header, answered))  # noqa: T201
        failed = [outcome for outcome in outcomes if outcome.error]
        for outcome in failed:
            complain("gurmukhi-classify", f"{outcome.name}: {outcome.error}")
    return DataError.exit_code if failed else 0


def _picture_names(argument: str) -> list[str]:
    path = Path(argument)
    if argument == _STANDARD_INPUT:
        return [argument]
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    return [str(file) for file in _picture_files(path)] if path.is_dir() else [argument]


def _picture_files(folder: Path) -> list[Path]:
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()
    )
    if not found:
        raise DataError(f"{folder}: holds no picture ({', '.join(sorted(_SUFFIXES))})")
    return found


def _ask(client: DigitClient, name: str, model: str, version: str) -> _Outcome:
    """One bad picture spoils no other; a server that fails ends the command."""
    noticed: tuple[str, ...] = ()
    try:
        data = sys.stdin.buffer.read() if name == _STANDARD_INPUT else Path(name).read_bytes()
    except OSError as error:
        return _Outcome(name, None, error.strerror or str(error))
    picture: Picture = data
    try:
        if len(data) > _MAX_SENT_BYTES:
            reduced = decode(data)
            picture, noticed = reduced.pixels, reduced.warnings
        answer = client.classify(picture, model=model, version=version)
    except ImageError as error:
        return _Outcome(name, None, str(error))
    except CallError as error:
        if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        return _Outcome(name, None, error.details)
    return _Outcome(name, answer.with_warnings(noticed))


def _row(outcome: _Outcome) -> tuple[str, ...]:
    answer = outcome.answer
    assert answer is not None  # noqa: S101 - rows are made of answers alone
    confidence = "–" if answer.confidence is None else f"{answer.confidence:.3f}"
    model = f"{answer.model.name}:{answer.model.version}"
    warnings = ", ".join(answer.warnings)
    return (one_line(outcome.name), str(answer.digit), answer.glyph, confidence, model, warnings)


def _record(outcome: _Outcome) -> dict[str, Any]:
    answer = outcome.answer
    if answer is None:
        return {"image": outcome.name, "error": outcome.error}
    return {
        "image": outcome.name,
        "digit": answer.digit,
        "glyph": answer.glyph,
        "confidence": answer.confidence,
        "probabilities": answer.probabilities,
        "scores": answer.scores,
        "model": answer.model.name,
        "version": answer.model.version,
        "sha256": answer.model.sha256,
        "warnings": answer.warnings,
    }


def _write_csv(outcomes: Sequence[_Outcome]) -> None:
    columns = ("image", "digit", "glyph", "confidence", "model", "version", "warnings", "error")
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for outcome in outcomes:
        record = _record(outcome)
        record["warnings"] = "; ".join(record.get("warnings", ()))
        writer.writerow(record)


if __name__ == "__main__":
    sys.exit(main())
