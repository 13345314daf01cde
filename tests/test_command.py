"""Every command explains itself, and ends as it says that it ends."""

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT, run_command

import gurmukhi
from gurmukhi.command import Parser, one_line, positive_number, run, whole_number
from gurmukhi.errors import CallError, DataError

ENDS_SLOWLY = """
import atexit, sys, threading, time
from gurmukhi.command import Parser, run
atexit.register(time.sleep, 60)
def work(arguments):
    print("begun", flush=True)
    time.sleep(60)
sys.exit(run(Parser("gurmukhi-test", ""), work, []))
"""
ROOMS = ["trainer", "server", "evaluator", "gurmukhi.classify"]


@pytest.fixture(autouse=True)
def _own_interrupts() -> Iterator[None]:
    """Leave pytest its interrupt, which an interrupted command gives back to the system."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("room", ROOMS)
def test_help_shows_examples(room: str) -> None:
    done = run_command(room, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert re.search(r"^examples:\n  gurmukhi-", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("words", [("trainer", "fit"), ("trainer", "data")])
def test_help_of_a_sub_command_shows_examples(words: tuple[str, ...]) -> None:
    done = run_command(*words, "--help")
    assert done.returncode == 0
    assert f"examples:\n  gurmukhi-train {words[1] if words[1] == 'data' else ''}" in done.stdout


def train(before: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `gurmukhi-train`, and print which of its large libraries were imported."""
    program = (
        f"import sys\n{before}\nimport trainer.__main__\n"
        "large = {'torch', 'sklearn', 'onnx', 'matplotlib'}\n"
        f"try: print(trainer.__main__.main({list(words)}))\n"
        "finally: print('imported:', *sorted(large.intersection(sys.modules)))"
    )
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", [("fit", "--help"), ("search", "--limit", "0")])
def test_help_and_mistakes_do_not_wait_for_the_training_libraries(words: tuple[str, ...]) -> None:
    assert train("", *words).stdout.splitlines()[-1] == "imported:"


def test_fit_does_not_wait_for_the_plotting_library(tmp_path: Path) -> None:
    done = train("", "fit", "--data", str(tmp_path / "nowhere"))
    assert done.stdout.splitlines()[-1] == "imported: onnx sklearn torch"


@pytest.mark.parametrize("words", [("fit",), ("study", "gurmukhi"), ("search",)])
def test_a_library_that_is_missing_is_named_with_what_brings_it(words: tuple[str, ...]) -> None:
    done = train("sys.modules['torch'] = None", *words, "--data", "synthetic")
    assert done.stdout.splitlines()[0] == "4"
    assert done.stderr == (
        f"gurmukhi-train {words[0]}: needs torch, which is not installed: "
        "pip install 'gurmukhi-digits[trainer]' brings it\n"
    )


def test_a_module_of_ours_that_is_missing_keeps_its_trace() -> None:
    done = train("sys.modules['gurmukhi.audit'] = None", "data", "--data", "synthetic")
    assert "Traceback" in done.stderr


INTERRUPTED_AT_NUMPY = """
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
"""


def test_an_interrupt_during_the_imports_is_one_line() -> None:
    done = train(INTERRUPTED_AT_NUMPY, "fit", "--data", "synthetic")
    assert done.stdout.splitlines()[0] == "130"
    assert done.stderr == "gurmukhi-train fit: interrupted\n"


@pytest.mark.parametrize("room", ROOMS)
def test_version_is_the_packages(room: str) -> None:
    done = run_command(room, "--version")
    assert done.returncode == 0
    assert done.stdout.endswith(f" {gurmukhi.__version__}\n")


@pytest.mark.parametrize("room", ROOMS)
def test_a_wrong_flag_is_one_line_and_64(room: str) -> None:
    done = run_command(room, "--no-such\nflag")
    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def end_of(command: Callable[[argparse.Namespace], int], *words: str) -> int:
    return run(Parser("gurmukhi-test", "A test."), command, words)


def test_the_commands_own_code_is_kept() -> None:
    assert end_of(lambda _: 7) == 7


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def command(_: argparse.Namespace) -> int:
        raise error

    return command


def call_error() -> CallError:
    import grpc

    return CallError("host:1", grpc.StatusCode.UNAVAILABLE, "down")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("a/b: is bad"), 4, "gurmukhi-test: a/b: is bad\n"),
        (DataError("a\nb\x1b[31m\u2028: bad"), 4, "gurmukhi-test: a\\nb\\x1b[31m\\u2028: bad\n"),
        (call_error(), 3, "gurmukhi-test: host:1: UNAVAILABLE: down\n"),
        (FileNotFoundError(2, "No such file", "x"), 4, "gurmukhi-test: x: No such file\n"),
        (BrokenPipeError(32, "Broken pipe"), 4, "gurmukhi-test: Broken pipe\n"),
        (KeyboardInterrupt(), 130, "gurmukhi-test: interrupted\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    assert end_of(raising(error)) == code
    assert capsys.readouterr().err == line


def test_our_own_bug_keeps_its_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        end_of(raising(ZeroDivisionError("ours")))


PRINTS = """
import sys
from gurmukhi.command import Parser, run
sys.exit(run(Parser("gurmukhi-test", "A test."), lambda _: print("੧" * 100_000) or 0, []))
"""


def run_printing(redirection: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    shell = f'set -o pipefail; "$0" -c "$1" {redirection}'
    return subprocess.run(
        ["bash", "-c", shell, sys.executable, PRINTS],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("redirection", ["| head -c 1", ">/dev/null", ">&-", "2>&-"])
def test_output_that_nobody_reads_is_no_fault(redirection: str) -> None:
    done = run_printing(redirection)
    assert done.returncode == 0
    assert done.stderr == b""


def test_a_full_disk_is_one_line() -> None:
    done = run_printing(">/dev/full")
    assert done.returncode == 4
    assert done.stderr == b"gurmukhi-test: No space left on device\n"


def test_glyphs_can_be_printed_where_only_ascii_can() -> None:
    done = run_printing("", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.startswith(b"\\u0a67\\u0a67")


@pytest.mark.parametrize("text", ["0", "65", "1.5", "x", "", "1e1", " "])
def test_a_number_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number of 1 to 64"):
        whole_number(1, 64)(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "x", ""])
def test_what_is_not_above_zero_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number above 0"):
        positive_number(text)


def test_numbers_in_bounds_are_read() -> None:
    assert whole_number(1, 64)("64") == 64
    assert whole_number(0)("99") == 99
    assert positive_number("0.5") == 0.5


def test_one_line_keeps_what_can_be_printed() -> None:
    assert one_line("a ੧ – ×") == "a ੧ – ×"
    assert one_line("a\r\nb\t") == "a\\r\\nb\\t"


def test_flags_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        end_of(lambda _: 0, "--verb")
    assert ended.value.code == 64
    assert "try --help" in capsys.readouterr().err


def test_the_console_scripts_are_named_as_the_commands_call_themselves() -> None:
    text = (Path(ROOT) / "pyproject.toml").read_text()
    for command in ("gurmukhi-train", "gurmukhi-serve", "gurmukhi-evaluate", "gurmukhi-classify"):
        assert re.search(rf'^{command} = "[a-z_.]+:main"$', text, re.MULTILINE)


def test_a_second_interrupt_ends_at_once_and_shows_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDS_SLOWLY],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has its background jobs ignore SIGINT, and Python would keep that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "gurmukhi-test: interrupted\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(timeout=20) == -signal.SIGINT
