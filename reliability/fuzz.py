"""Coverage-guided fuzzing of the readers: `python -m reliability.fuzz READER`.

Each reader is fuzzed in a process of its own, which libFuzzer ends at a fault, at a case that takes
over 10 s or at 2 GB.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gurmukhi.command import Parser, run, whole_number

_CASE_SECONDS: Final = 10
_MEGABYTES: Final = 2048
_MAX_BYTES: Final = 16_384
_PACKAGES: Final = ["gurmukhi", "server", "evaluator", "PIL"]  # whose branches guide it
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_SLOWEST: Final = re.compile(r"stat::slowest_unit_time_sec:\s+(\d+)")
_PEAK: Final = re.compile(r"stat::peak_rss_mb:\s+(\d+)")
_COVERED: Final = re.compile(r"cov: (\d+)")


@dataclass(frozen=True, slots=True)
class Campaign:
    """What fuzzing one reader came to."""

    reader: str
    cases: int
    branches: int  # reached
    slowest_seconds: int
    peak_megabytes: int
    fault: str  # empty where there is none


def fuzz(reader: str, seconds: int, corpus: Path) -> Campaign:
    """Fuzz a reader for a while; the corpus keeps what was found and is begun with next time."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "reliability.fuzz", reader),
            *("--seconds", str(seconds), "--corpus", str(corpus)),
        ],
        capture_output=True,
        timeout=seconds + 120,
        check=False,
    )
    log = (done.stderr + done.stdout).decode(errors="replace")  # Python's exception is on the last
    return Campaign(
        reader,
        cases=_figure(_EXECUTED, log),
        branches=_figure(_COVERED, log),
        slowest_seconds=_figure(_SLOWEST, log),
        peak_megabytes=_figure(_PEAK, log),
        fault="" if done.returncode == 0 else f"exit {done.returncode}: {_fault_of(log)}",
    )


def _figure(pattern: re.Pattern[str], log: str) -> int:
    found = pattern.findall(log)
    return int(found[-1]) if found else 0


def _fault_of(log: str) -> str:
    """The lines that say what broke: the exception of Python's, or libFuzzer's own."""
    lines = [line for line in log.splitlines() if line.strip()]
    told = [i for i, line in enumerate(lines) if "Uncaught Python exception" in line]
    return " ".join(lines[told[0] + 1 : told[0] + 2] if told else lines[-3:])[:300]


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz one reader, in this process."""
    parser = Parser(
        "reliability.fuzz",
        "Fuzz one reader of untrusted bytes until it breaks or the time is up.",
        ("python -m reliability.fuzz picture --seconds 60 --corpus build/corpus/picture",),
    )
    parser.add_argument("reader", metavar="READER", help="its name in reliability.readers")
    parser.add_argument("--seconds", type=whole_number(1), default=60, metavar="N")
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    return run(parser, lambda flags: _fuzz_here(flags.reader, flags.seconds, flags.corpus), argv)


def _fuzz_here(reader: str, seconds: int, corpus: Path) -> int:
    import atheris

    with atheris.instrument_imports(include=_PACKAGES):
        from reliability.readers import READERS
        from reliability.seeds import seeds_of
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder)
        for index, seed in enumerate(seeds_of(reader)):
            (seeds / str(index)).write_bytes(seed)
        flags = {
            "max_total_time": seconds,
            "timeout": _CASE_SECONDS,
            "rss_limit_mb": _MEGABYTES,
            "max_len": _MAX_BYTES,
            "artifact_prefix": f"{corpus}-",
            "print_final_stats": 1,
            "verbosity": 1,
        }
        words = [f"-{name}={value}" for name, value in flags.items()]
        atheris.Setup(["fuzz", *words, str(corpus), str(seeds)], READERS[reader])
        atheris.Fuzz()  # ends the process
    return 0


if __name__ == "__main__":
    sys.exit(main())
