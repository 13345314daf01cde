"""Run the trials and write their figures: `make reliability`."""

import argparse
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from evaluator.files import write_whole
from gurmukhi.command import Parser, positive_number, run
from reliability.concurrency import try_concurrency
from reliability.crashes import try_crashes
from reliability.endurance import try_endurance
from reliability.figures import Figure, put_into_page, table, write_figures
from reliability.fuzz import fuzz
from reliability.hostile import try_hostile_input
from reliability.network import try_network
from reliability.readers import READERS
from reliability.storage import try_storage
from server.config import FRONTS

_PAGE: Final = Path("docs/reliability.md")
_MINUTES: Final = 60.0
_FUZZ_SECONDS: Final = 70  # of each reader
_FUZZERS: Final = 2  # at a time
_ATTACK_SECONDS: Final = 2  # in each round
_FLIPS: Final = 5_000


def _try_readers(corpus: Path, scale: float) -> Iterator[Figure]:
    seconds, total = max(2, round(_FUZZ_SECONDS * scale)), 0
    with ThreadPoolExecutor(_FUZZERS) as fuzzers:  # each waits for a process of its own
        campaigns = fuzzers.map(lambda reader: fuzz(reader, seconds, corpus / reader), READERS)
        for reader, found in zip(READERS, campaigns, strict=True):
            total += found.cases
            what = f"{reader}: faults in {found.cases:,} cases over {found.branches} branches"
            yield Figure.exactly("readers", what, found.fault or "none", "none")
            slowest = f"{reader}: slowest case"
            yield Figure.at_most("readers", slowest, found.slowest_seconds, 10, " s")
    yield Figure.at_least("readers", "cases of all readers", total, 1_000_000 * min(1.0, scale))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials."""
    parser = Parser(
        "reliability",
        "Try to break the service, and write down what came of it.",
        ("python -m reliability --models models/", "python -m reliability --only crashes"),
    )
    parser.add_argument("--models", type=Path, metavar="DIR", help="fitted ones (default: fits)")
    parser.add_argument(
        "--front", choices=FRONTS, default=FRONTS[0], help="of the servers (default: %(default)s)"
    )
    parser.add_argument("--only", action="append", default=[], metavar="TRIAL")
    parser.add_argument(
        "--scale", type=positive_number, default=1.0, metavar="X", help="1 is under an hour"
    )
    parser.add_argument("--out", type=Path, default=Path("build/reliability"), metavar="DIR")
    parser.add_argument("--page", action="store_true", help=f"write the table into {_PAGE}")
    return run(parser, lambda flags: _run_trials(parser, flags), argv)


def _run_trials(parser: Parser, flags: argparse.Namespace) -> int:
    is_whole = not flags.only and flags.scale == 1.0
    os.environ["GURMUKHI_FRONT"] = flags.front  # the default of every server that is started
    if flags.page and not is_whole:
        parser.error("--page is for a whole run, without --only and --scale")
    began = time.monotonic()
    trials: Mapping[str, Callable[[], Iterator[Figure]]] = {
        "storage": lambda: try_storage(models, round(_FLIPS * flags.scale)),
        "readers": lambda: _try_readers(flags.out / "corpus", flags.scale),
        "hostile": lambda: try_hostile_input(models, _ATTACK_SECONDS * flags.scale),
        "crashes": lambda: try_crashes(models),
        "concurrency": lambda: try_concurrency(models, 60 * flags.scale),
        "network": lambda: try_network(models, 20 * flags.scale),
        "endurance": lambda: try_endurance(models, 1800 * flags.scale, flags.out),
    }
    if unknown := set(flags.only) - set(trials):
        parser.error(f"--only: no trial {', '.join(unknown)}; there are {', '.join(trials)}")
    models = flags.models or _fitted(flags.out / "models")
    figures: list[Figure] = []
    for name in flags.only or trials:
        for figure in _to_its_end(name, trials[name]):
            figures.append(figure)
            write_figures(flags.out / "figures.json", figures)  # whatever comes, this is kept
            print("  " if figure.holds else "✗ ", f"{figure.what}: {figure.value}", flush=True)  # noqa: T201
    if is_whole:
        minutes = (time.monotonic() - began) / 60
        figures.append(Figure.at_most("all", "minutes of the whole run", minutes, _MINUTES))
    write_figures(flags.out / "figures.json", figures)
    write_whole(flags.out / "figures.md", table(figures))
    if flags.page:
        put_into_page(_PAGE, figures, _occasion())
        write_whole(_PAGE.with_name("endurance.svg"), (flags.out / "endurance.svg").read_text())
    return int(not all(figure.holds for figure in figures))


def _to_its_end(name: str, trial: Callable[[], Iterator[Figure]]) -> Iterator[Figure]:
    """A trial's figures; where it breaks off, that is one of them, and the others go on."""
    try:
        yield from trial()
    except Exception as error:  # noqa: BLE001 - whatever a service that was broken does to a trial
        traceback.print_exc()
        yield Figure.exactly(name, "broke off", f"{type(error).__name__}: {error}"[:200], "no")


def _fitted(repository: Path) -> Path:
    if not repository.is_dir():
        command = [sys.executable, "-m", "trainer", "fit", "--data", "synthetic", "--versions", "1"]
        subprocess.run([*command, "-q", "--models", str(repository)], check=True)
    return repository


def _occasion() -> str:
    day = datetime.now(UTC).date().isoformat()
    return f"{day}, {os.cpu_count()} CPUs, Python {platform.python_version()}."


if __name__ == "__main__":
    sys.exit(main())
