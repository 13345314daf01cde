"""The command `gurmukhi-train study`: reproduce a published table."""

import argparse

from gurmukhi.sources import find_source
from gurmukhi.terminal import format_table
from trainer.study.settings import Settings

_EXIT_NOT_REPRODUCED = 1


def command(arguments: argparse.Namespace) -> int:
    """Run a study, show its table, and say whether it reproduces the published one."""
    settings = Settings(
        folder=arguments.out / arguments.name,
        seeds=tuple(range(arguments.seed, arguments.seed + arguments.seeds)),
        jobs=arguments.jobs,
        fresh=arguments.fresh,
        quiet=arguments.quiet,
    )
    return _mnist(settings) if arguments.name == "mnist" else _gurmukhi(settings, arguments.data)


def _mnist(settings: Settings) -> int:
    from trainer.study.mnist import run_mnist
    from trainer.study.mnist_table import TABLE_HEADER, table_rows

    study = run_mnist(settings)
    print(format_table(TABLE_HEADER, table_rows(study)))  # noqa: T201
    wrong = [str(result.row.number) for result in study.results if not result.holds]
    verdict = (
        f"NOT within its bound: row {', '.join(wrong)}"
        if wrong
        else f"all {len(study.results)} rows are within their bound"
    )
    kept = f" ({study.kept} rows kept from an earlier run)" if study.kept else ""
    print(f"\n{verdict}; {study.seconds:.0f} seconds{kept}")  # noqa: T201
    print(f"report: {settings.folder / 'report.html'}")  # noqa: T201
    return _EXIT_NOT_REPRODUCED if wrong else 0


def _gurmukhi(settings: Settings, data: str | None) -> int:
    from trainer.study.gurmukhi import run_gurmukhi
    from trainer.study.gurmukhi_report import notice
    from trainer.study.gurmukhi_result import TABLE_HEADER, table_rows

    study = run_gurmukhi(settings, find_source(data))
    if above := notice(study):
        print(f"{above}\n")  # noqa: T201
    print(format_table(TABLE_HEADER, table_rows(study)))  # noqa: T201
    if study.is_real:
        verdict = (
            f"NOT as published: {', '.join(study.failures)}"
            if study.failures
            else "every row is as published"
        )
        print(f"\n{verdict}; {study.seconds:.0f} seconds")  # noqa: T201
    print(f"report: {settings.folder / 'report.html'}")  # noqa: T201
    return _EXIT_NOT_REPRODUCED if study.failures else 0
