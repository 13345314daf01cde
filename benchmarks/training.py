"""Where the training's CPU goes: `python -m benchmarks.training`, with Linux's perf.

The MNIST study and `fit` run as a user calls them, on the real data sets, and perf
samples all their processes from start to end, imports and reports included. Products are those of
BLAS and the kernels of libsvm, each of which is the product of two vectors, or their distance.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.perf import ELSE, read_shares, require_perf
from benchmarks.processes import BenchmarkError
from benchmarks.report import Ratio, Report
from gurmukhi.command import Parser, run
from gurmukhi.terminal import format_table

_SAMPLES_A_SECOND: Final = 199
_RESULT: Final = Path("build/bench/training.json")
_PRODUCTS: Final = ("matrix products (BLAS)", "kernels (libsvm)")
_KINDS: Final = {
    # libsvm calls the BLAS for products of vectors, which nothing else here does.
    "kernels (libsvm)": r"svm::Kernel|ddot|dot_(kernel|compute)",
    "matrix products (BLAS)": r"^libscipy_openblas|mkl_blas|gemm",
    "element by element (NumPy)": r"^_multiarray_umath",
    "the rest of libsvm, exp and tanh": r"^_libsvm|^libm\.",
    "the rest of torch": r"^libtorch|^libc10",
    "onnxruntime": r"^onnxruntime",
    "Python's interpreter": r"^libpython|^python",
    "the kernel and the C library": r"^\[kernel|^\[guest|^libc\.|^ld-linux",
}
# Each with its words, which a folder follows, and the seconds that it may take on two CPUs.
_RUNS: Final = {
    "MNIST study": (("study", "mnist", "--fresh", "--out"), 90),
    "fit": (("fit", "--data", "real", "--models"), 120),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser(
        "benchmarks.training", __doc__.splitlines()[0], ("python -m benchmarks.training",)
    )
    parser.add_argument("--json", type=Path, default=_RESULT, help="default: %(default)s")
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    require_perf()
    report = Report()
    for name, (words, allowed) in _RUNS.items():
        seconds, shares = _sample(name, words)
        products = sum(shares.get(kind, 0.0) for kind in _PRODUCTS)
        others = max(share for kind, share in shares.items() if kind not in _PRODUCTS)
        report.ratios.append(Ratio(f"{name}: products to what is next", products / others, 1.0))
        report.ratios.append(Ratio(f"{name}: products' share of all", products, 0.0))
        report.ratios.append(Ratio(f"{name}: seconds", seconds, allowed, at_most=True, unit=" s"))
        report.figures[name] = shares
    report.write(arguments.json)
    print(f"{_table(report.figures)}\n\n{report.table()}\n\nwritten to {arguments.json}")  # noqa: T201
    return 0


def _sample(name: str, words: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Seconds of a run, and the share of each kind in its CPU."""
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        file = Path(folder, "perf.data")
        command = ["perf", "record", "-q", "-F", str(_SAMPLES_A_SECOND), "-o", str(file), "--"]
        command += [sys.executable, "-m", "trainer", *words, f"{folder}/out"]
        started = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
        seconds = time.monotonic() - started
        if done.returncode:
            raise BenchmarkError(f"{name} ended with {done.returncode}: {done.stdout}")
        return seconds, read_shares(file, _KINDS)


def _table(figures: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        (kind, *(f"{shares.get(kind, 0.0):.1%}" for shares in figures.values()))
        for kind in (*_KINDS, ELSE)
    ]
    return format_table(("share of the CPU", *figures), rows)


if __name__ == "__main__":
    sys.exit(main())
