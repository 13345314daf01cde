"""The command `gurmukhi-evaluate`: is what is served what was measured offline?"""

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from evaluator.addresses import find_addresses
from evaluator.baseline import Baseline
from evaluator.files import write_whole
from evaluator.flags import Config, make_parser, read_config
from evaluator.outputs import to_json, write_outputs
from evaluator.report import Occasion, make_record
from evaluator.run import run_checks
from evaluator.session import Session, find_near, read_split, read_subjects
from evaluator.table import show_record
from evaluator.target import Target
from evaluator.verdict import conclude
from gurmukhi.command import run
from gurmukhi.sources import find_source

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gurmukhi-evaluate`."""
    given = sys.argv[1:] if argv is None else list(argv)
    parser = make_parser()
    return run(parser, lambda flags: evaluate(read_config(parser, flags, given)), given)


def evaluate(config: Config) -> int:
    """Make all checks, write the report and return the exit code."""
    started, clock = datetime.now(UTC), time.monotonic()
    settings = config.settings
    subjects = read_subjects(config.models, config.wanted)
    baseline = None
    if config.baseline and (config.baseline.exists() or not config.update_baseline):
        baseline = Baseline.read(config.baseline)
    source = find_source(config.data)
    split = read_split(source)
    with ExitStack() as stack:
        targets = [
            stack.enter_context(Target(address, settings.timeout_seconds))
            for address in find_addresses(config.target)
        ]
        session = Session(targets, source, split, subjects, settings, baseline=baseline)
        session.near = find_near(source, split)
        interrupted = run_checks(session)
    verdict = conclude(session.results, interrupted=interrupted)
    occasion = Occasion(started, time.monotonic() - clock, config.command)
    record = make_record(session, verdict, occasion)
    page = write_outputs(record, split.images, config.report)
    if not (settings.quiet and verdict.is_pass):
        print(show_record(record, colour=sys.stdout.isatty()))  # noqa: T201
        print(f"report: {page}")  # noqa: T201
    if config.update_baseline and config.baseline:
        if verdict.is_pass:
            write_whole(config.baseline, to_json(record))
            _log.info("baseline: %s is now this run", config.baseline)
        else:
            _log.warning("baseline: %s is left as it was", config.baseline)
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
