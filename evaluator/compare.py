"""Compare two servers, or two versions on one: should B take A's place?"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from evaluator.addresses import expect_name, find_addresses
from evaluator.files import write_whole
from evaluator.flags import PROGRAM, add_subject_flags
from evaluator.latency import quantiles, show_seconds
from evaluator.outputs import to_json
from evaluator.parity import name_images
from evaluator.replay import Replay, empty_replay, replay_one
from evaluator.session import read_split, read_subjects
from evaluator.statistics import Paired, compare_pairs
from evaluator.target import Target
from gurmukhi.command import Parser, add_folder_flag
from gurmukhi.credentials import Credentials
from gurmukhi.dataset import Split
from gurmukhi.errors import BundleError, DataError
from gurmukhi.metrics import mcnemar_exact
from gurmukhi.sources import find_source
from gurmukhi.terminal import format_table, progress

PROMOTE: Final = "promote"
HOLD: Final = "hold"
ROLL_BACK: Final = "roll back"
FAILING: Final = "failing"
EXIT_CODES: Final = {PROMOTE: 0, HOLD: 1, ROLL_BACK: 2, FAILING: 3}

# Below this chance that B is as good as A, fewer right answers are no accident.
_SIGNIFICANT: Final = 0.05
# B is slower where its p90 is this many times A's, and by more than a scheduler's hiccup. On a few
# hundred images the p99 is one or two calls, and says nothing.
_TAIL: Final = "p90"
_SLOWER: Final = 2.0
_HICCUP_SECONDS: Final = 0.002
_EXAMPLES: Final = (
    f"{PROGRAM} compare stable:8001 canary:8001 --models models/",
    f"{PROGRAM} compare svm-rbf:1 svm-rbf:2 --target localhost:8001",
    "",
    "exit codes: 0 promote · 1 hold · 2 roll back · 3 a side fails · 4 bad input · 64 wrong flag",
)


@dataclass(frozen=True, slots=True)
class Side:
    """A version at an address."""

    target: Target
    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}:{self.version} at {self.target.address}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two sides answered, and what follows."""

    first: Side
    second: Side
    replays: tuple[Replay, Replay]
    paired: Paired
    advice: str
    reason: str


def make_compare_parser() -> Parser:
    """The parser of `gurmukhi-evaluate compare`."""
    parser = Parser(
        f"{PROGRAM} compare",
        "Ask two servers, or two versions on one, for the same images in turn: promote B or not?",
        _EXAMPLES,
    )
    parser.add_argument("first", metavar="A", help="HOST:PORT, or MODEL:VERSION on --target")
    parser.add_argument("second", metavar="B", help="the same of what may take A's place")
    add_subject_flags(parser)
    add_folder_flag(
        parser, "--report", "report", "where compare.json is written (default: %(default)s/)"
    )
    return parser


def compare(arguments: argparse.Namespace, credentials: Credentials) -> int:
    """Compare, show the findings, write `compare.json` and return the exit code."""
    source = find_source(arguments.data)
    split = read_split(source)
    with ExitStack() as stack:
        sides = _sides(arguments, credentials, stack)
        found = [
            _compare_sides(split, first, second, quiet=arguments.quiet) for first, second in sides
        ]
    worst = max((one.advice for one in found), key=list(EXIT_CODES).index)
    if source.kind == "synthetic":
        print("SYNTHETIC DIGITS: this says nothing about real handwriting\n")  # noqa: T201
    print(_show(found, split))  # noqa: T201
    print(f"\nverdict: {worst} (exit code {EXIT_CODES[worst]})")  # noqa: T201
    path = arguments.report / "compare.json"
    record = {
        "schema_version": 1,
        "verdict": worst,
        "exit_code": EXIT_CODES[worst],
        "data": {"source": source.kind, "sha256": split.sha256, "images": len(split)},
        "pairs": [_record(one, split) for one in found],
    }
    write_whole(path, to_json(record))
    print(f"report: {path}")  # noqa: T201
    return EXIT_CODES[worst]


def _sides(
    arguments: argparse.Namespace, credentials: Credentials, stack: ExitStack
) -> list[tuple[Side, Side]]:
    subjects = read_subjects(arguments.models, arguments.model)
    keys = {subject.key: subject for subject in subjects}
    first, second = arguments.first, arguments.second
    if (first in keys) != (second in keys):
        known = ", ".join(keys)
        raise BundleError(
            f"{first} and {second} do not pair: expected two addresses, or two of {known}"
        )

    def dial(text: str, address: str) -> Target:
        trust = expect_name(credentials, text)
        return stack.enter_context(closing(Target(address, arguments.timeout, trust)))

    if first in keys:
        target = dial(arguments.target, find_addresses(arguments.target)[0])
        one, other = keys[first], keys[second]
        return [(Side(target, one.name, one.version), Side(target, other.name, other.version))]
    a, b = (dial(text, _one_address(text)) for text in (first, second))
    return [(Side(a, one.name, one.version), Side(b, one.name, one.version)) for one in subjects]


def _one_address(text: str) -> str:
    addresses = find_addresses(text)
    if len(addresses) != 1:
        raise DataError(f"{text}: is {len(addresses)} addresses, expected one")
    return addresses[0]


def _compare_sides(split: Split, first: Side, second: Side, *, quiet: bool) -> Comparison:
    replays = (empty_replay(len(split)), empty_replay(len(split)))
    with progress(f"{first.model}:{first.version}", len(split), quiet=quiet) as shown:
        for index in range(len(split)):
            # In turn, and each first as often, so that both meet the same conditions.
            order = ((first, replays[0]), (second, replays[1]))
            for side, replay in order if index % 2 == 0 else order[::-1]:
                replay_one(side.target, side.model, side.version, split.images, index, replay)
            shown.advance()
            if index == 2 and any(len(replay.lost) == 3 for replay in replays):
                break  # a side that answers nothing
    paired = compare_pairs(split.labels, replays[0].digits, replays[1].digits)
    advice, reason = advise(replays, paired)
    return Comparison(first, second, replays, paired, advice, reason)


def advise(replays: tuple[Replay, Replay], paired: Paired) -> tuple[str, str]:
    """What to do with B, and why."""
    for name, replay in zip("AB", replays, strict=True):
        if replay.lost:
            return (
                FAILING,
                f"{name} lost {len(replay.lost)} calls: {next(iter(replay.lost.values()))}",
            )
    if replays[1].malformed:
        return ROLL_BACK, f"B's answers are malformed: {next(iter(replays[1].malformed.values()))}"
    fewer = paired.only_first - paired.only_second
    if fewer > 0 and paired.p < _SIGNIFICANT:
        return ROLL_BACK, f"B has {fewer} fewer right answers, and not by chance"
    if fewer > 0:
        return HOLD, f"B has {fewer} fewer right answers, which may be chance"
    a, b = (quantiles(replay.seconds)[_TAIL] for replay in replays)
    if _is_slower(a, b) and _is_slower_by_more_than_chance(replays):
        return HOLD, f"B's {_TAIL} is {show_seconds(b)}, A's {show_seconds(a)}"
    return PROMOTE, "B has no fewer right answers, and is not much slower"


def _is_slower(one: Any, other: Any) -> Any:
    """Whether `other` is; seconds or arrays of them."""
    return (other > _SLOWER * one) & (other - one > _HICCUP_SECONDS)


def _is_slower_by_more_than_chance(replays: tuple[Replay, Replay]) -> bool:
    """Whether B is slower on more images than A is: hiccups of a host hit either."""
    a, b = (np.asarray(replay.seconds) for replay in replays)
    return mcnemar_exact(int(_is_slower(a, b).sum()), int(_is_slower(b, a).sum())) < _SIGNIFICANT


def _show(found: Sequence[Comparison], split: Split) -> str:
    header = (
        "model",
        "A right",
        "B right",
        "only A",
        "only B",
        "differ",
        "p",
        f"A {_TAIL}",
        f"B {_TAIL}",
        "",
    )
    rows = []
    notes = []
    for one in found:
        rights = [int((replay.digits == split.labels).sum()) for replay in one.replays]
        tails = [quantiles(replay.seconds).get(_TAIL) for replay in one.replays]
        a, b = (show_seconds(tail) if tail is not None else "–" for tail in tails)
        name = f"{one.first.model}:{one.first.version}"
        if (one.first.model, one.first.version) != (one.second.model, one.second.version):
            name += f" → {one.second.model}:{one.second.version}"
        counts = (*rights, one.paired.only_first, one.paired.only_second, one.paired.disagree)
        rows.append((name, *map(str, counts), f"{one.paired.p:.3g}", a, b, one.advice))
        notes.append(f"{one.advice}: {name}: {one.reason}")
        if changed := _changed(one, split):
            notes.append(f"  they differ on {name_images(changed)}")
    return format_table(header, rows) + "\n\n" + "\n".join(notes)


def _changed(one: Comparison, split: Split) -> list[str]:
    a, b = (replay.digits for replay in one.replays)
    return [
        f"{split.names[i]} (true {split.labels[i]}, A {a[i]}, B {b[i]})"
        for i in np.flatnonzero((a != b) & (a >= 0) & (b >= 0))
    ]


def _record(one: Comparison, split: Split) -> dict[str, Any]:
    return {
        "first": str(one.first),
        "second": str(one.second),
        "advice": one.advice,
        "reason": one.reason,
        "right": [int((replay.digits == split.labels).sum()) for replay in one.replays],
        **asdict(one.paired),
        "changed": _changed(one, split),
        "latency_seconds": [quantiles(replay.seconds) for replay in one.replays],
    }
