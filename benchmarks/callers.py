"""Our asyncio client beside tritonclient's on the same server: `python -m benchmarks.callers`.

A program classifies single images from one task, and from 64. Ours merges what is called at the
same time; tritonclient sends one call each. They take turns round by round; a ratio is the median
of the rounds' ratios. Answers are compared.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from benchmarks.processes import BenchmarkError, ServerProcess
from benchmarks.report import Ratio, Report
from benchmarks.setting import MODEL, ours, setting_of
from gurmukhi.client import AsyncDigitClient
from gurmukhi.command import Parser, run, whole_number
from gurmukhi.synthetic import synthetic_digits

_IMAGES, _ = synthetic_digits(64, 29)
_GOALS: Final = {1: 1.0, 64: 10.0}  # tasks -> how many times as many images a second
_RESULT: Final = Path("build/bench/callers.json")

Classify = Callable[[int], Awaitable[int]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser(
        "benchmarks.callers", __doc__.splitlines()[0], ("python -m benchmarks.callers",)
    )
    parser.add_argument("--models", type=Path, help="a model repository")
    parser.add_argument("--rounds", type=whole_number(1, 1000), default=9)
    parser.add_argument("--json", type=Path, default=_RESULT, help="default: %(default)s")
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    report = Report()
    with ours(setting_of(arguments.models, arguments.rounds)) as server:
        asyncio.run(_measure(server, arguments.rounds, report))
    report.write(arguments.json)
    print(f"{report.table()}\n\nwritten to {arguments.json}")  # noqa: T201
    return 0


async def _measure(server: ServerProcess, rounds: int, report: Report) -> None:
    target = f"127.0.0.1:{server.port}"
    name, version = MODEL
    async with (
        AsyncDigitClient(target, timeout_seconds=30) as client,
        AsyncDigitClient(target, timeout_seconds=30, merging=None) as plain,
        triton_aio.InferenceServerClient(target) as other,
    ):

        async def merged(index: int) -> int:
            return (await client.classify(_IMAGES[index], model=name, version=version)).digit

        async def alone(index: int) -> int:
            return (await plain.classify(_IMAGES[index], model=name, version=version)).digit

        async def theirs(index: int) -> int:
            pixels = triton.InferInput("pixels", [1, 32, 32], "UINT8")
            pixels.set_data_from_numpy(_IMAGES[index][None])
            reply = await other.infer(name, [pixels], version)
            return int(reply.as_numpy("digit")[0])

        for tasks, goal in _GOALS.items():
            rates: dict[str, list[float]] = {"merged": [], "alone": [], "theirs": []}
            turns = [("merged", merged), ("alone", alone), ("theirs", theirs)]
            for _ in range(rounds):
                turns.append(turns.pop(0))  # who comes after whom changes too
                for who, classify in turns:
                    # About half a second of each.
                    count = 300 if tasks == 1 else 6000 if who == "merged" else 900
                    rates[who].append(await _rate(classify, tasks, count))
            report.figures[f"images/s from {tasks} tasks"] = {
                who: statistics.median(found) for who, found in rates.items()
            }
            for who, bound in (("theirs", goal), ("alone", 1.0)):
                quotients = [a / b for a, b in zip(rates["merged"], rates[who], strict=True)]
                against = "tritonclient" if who == "theirs" else "our plain calls"
                text = f"{tasks} tasks: images/s to {against}"
                # 3 % of a median of quotients is noise.
                goal_here = bound - 0.03 if bound == 1.0 else bound
                report.ratios.append(Ratio(text, statistics.median(quotients), goal_here))


async def _rate(classify: Classify, tasks: int, count: int) -> float:
    """Images a second from so many tasks, each of which asks one after the other."""
    expected = [await classify(index) for index in range(4)]
    turns = iter(range(count))
    wrong = 0

    async def task() -> None:
        nonlocal wrong
        for turn in turns:
            index = turn % len(_IMAGES)
            digit = await classify(index)
            wrong += index < len(expected) and digit != expected[index]

    started = time.perf_counter()
    await asyncio.gather(*(task() for _ in range(tasks)))
    seconds = time.perf_counter() - started
    if wrong:
        raise BenchmarkError(f"{wrong} answers under load are not those at rest")
    return count / seconds


if __name__ == "__main__":
    sys.exit(main())
