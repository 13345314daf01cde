"""What every command shares: flags, exit codes, one-line errors, logging."""

import argparse
import io
import logging
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn, TextIO

import gurmukhi
from gurmukhi.errors import EXIT_BAD_DATA, GurmukhiError

EXIT_USAGE: Final = 64
_LARGEST: Final = 1_000_000  # seconds, or whatever a flag counts: more is a slip of the hand
EXIT_INTERRUPTED: Final = 130
# What a flag that names a data set takes: `gurmukhi.sources` reads it, and takes longer to import.
DATA_HELP: Final = (
    "real, synthetic[:N] (N images a split), or a folder with train/ and val/ (or train.zip and "
    "val.zip); default: $GURMUKHI_DATA_DIR, the local cache, the public home, then synthetic"
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and end with exit code 64."""

    def __init__(self, prog: str, description: str, examples: Sequence[str] = ()) -> None:
        epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples) if examples else None
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--version", action="version", version=f"%(prog)s {gurmukhi.__version__}")
        self.add_argument("-v", "--verbose", action="store_true", help="say more on standard error")
        self.add_argument("-q", "--quiet", action="store_true", help="say only what went wrong")

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {one_line(message)} (try --help)\n")


def add_folder_flag(
    parser: argparse.ArgumentParser, flag: str, default: str | Path, text: str
) -> None:
    """Declare a flag that takes a folder."""
    parser.add_argument(flag, type=Path, default=Path(default), metavar="DIR", help=text)


def add_models_flag(parser: argparse.ArgumentParser, text: str) -> None:
    """Declare `--models`, a model repository; its default is $GURMUKHI_MODELS, or models."""
    add_folder_flag(parser, "--models", os.environ.get("GURMUKHI_MODELS", "models"), text)


def add_data_flag(parser: argparse.ArgumentParser, text: str = DATA_HELP) -> None:
    """Declare `--data`, which `gurmukhi.sources.find_source` reads."""
    parser.add_argument("--data", metavar="SOURCE", help=text)


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argparse type for a whole number between two bounds."""
    span = f"{least} or more" if most is None else f"{least} to {most}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {span}")
        return value

    return parse


def positive_number(text: str) -> float:
    """An argparse type for a finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _LARGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number above 0 and at most {_LARGEST:,}"
        )
    return value


def start_logging(*, verbose: bool, quiet: bool) -> None:
    """Send plain log lines to standard error, and keep libraries' warnings to ourselves."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # such as Pillow's on each damaged picture
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    for room in ("gurmukhi", "trainer", "server", "evaluator"):
        logging.getLogger(room).setLevel(level)


def run(
    parser: Parser, command: Callable[[argparse.Namespace], int], argv: Sequence[str] | None
) -> int:
    """Parse, run and turn what a user can mend into one line and an exit code."""
    _open_streams()
    arguments = parser.parse_args(argv)
    start_logging(verbose=arguments.verbose, quiet=arguments.quiet)
    try:
        code = command(arguments)
        sys.stdout.flush()
    except GurmukhiError as error:
        complain(parser.prog, str(error))
        code = error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _has_no_reader(sys.stdout):
            code = 0  # the reader, such as `head`, has seen enough
        else:
            complain(parser.prog, _describe(error))
            code = EXIT_BAD_DATA
    except KeyboardInterrupt:
        # A second one ends at once: what runs after this, at the interpreter's end, catches none.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        complain(parser.prog, "interrupted")
        code = EXIT_INTERRUPTED
    if not _can_flush(sys.stdout):
        # Else the interpreter tries once more when it ends, and complains of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def complain(prog: str, message: str) -> None:
    """Write one line to standard error, whatever line breaks a file's name has in it."""
    print(f"{prog}: {one_line(message)}", file=sys.stderr)  # noqa: T201


def one_line(text: str) -> str:
    """A text with its control characters, line breaks among them, as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _open_streams() -> None:
    """Have standard output and error take any text, even where they were closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as we run
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a glyph on an ASCII terminal


def _can_flush(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return False
    return True


def _has_no_reader(stream: TextIO) -> bool:
    """Whether it is this stream's pipe that broke, and not some other one's."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), select.POLLOUT)
    except OSError:  # no file at all
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _describe(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what
