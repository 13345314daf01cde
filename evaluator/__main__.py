"""The command `gurmukhi-evaluate`: is what is served what was measured offline?"""

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from evaluator.addresses import expect_name, find_addresses
from evaluator.baseline import Baseline
from evaluator.compare import compare, make_compare_parser
from evaluator.files import write_whole
from evaluator.flags import Config, make_parser, read_config
from evaluator.history import append_run
from evaluator.nights import history, make_history_parser
from evaluator.outputs import to_json, write_outputs
from evaluator.push import push_metrics, write_termination_log
from evaluator.report import Occasion, Record, make_record
from evaluator.results import Fault, Result
from evaluator.run import run_checks, run_checks_on_stream
from evaluator.session import Session, Subject, find_near, read_split, read_subjects
from evaluator.stream import Stream, find_stream
from evaluator.table import show_record
from evaluator.target import Target
from evaluator.verdict import conclude
from gurmukhi.command import run
from gurmukhi.credentials import read_credentials
from gurmukhi.dataset import Split, make_split
from gurmukhi.errors import DataError
from gurmukhi.image import SIDE
from gurmukhi.sources import Source, find_source

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gurmukhi-evaluate`."""
    given = sys.argv[1:] if argv is None else list(argv)
    if given[:1] == ["compare"]:
        parser = make_compare_parser()
        return run(parser, lambda flags: compare(flags, read_credentials(parser, flags)), given[1:])
    if given[:1] == ["history"]:
        return run(make_history_parser(), history, given[1:])
    parser = make_parser()
    return run(parser, lambda flags: evaluate(read_config(parser, flags, given)), given)


def evaluate(config: Config) -> int:
    """Make all checks, write the report and return the exit code."""
    started, clock = datetime.now(UTC), time.monotonic()
    settings = config.settings
    config.report.mkdir(parents=True, exist_ok=True)  # fails now rather than after all checks
    subjects = read_subjects(config.models, config.wanted)
    baseline = None
    if config.baseline and (config.baseline.exists() or not config.update_baseline):
        baseline = Baseline.read(config.baseline)
    source, split = _find_images(config, subjects)
    credentials = expect_name(config.credentials, config.target)
    with ExitStack() as stack:
        targets = [
            stack.enter_context(closing(Target(address, settings.timeout_seconds, credentials)))
            for address in find_addresses(config.target)
        ]
        session = Session(targets, source, split, subjects, settings, baseline=baseline)
        if isinstance(source, Stream):
            interrupted = run_checks_on_stream(session, source)
        else:
            session.near = find_near(source, split)
            interrupted = run_checks(session)
    verdict = conclude(session.results, interrupted=interrupted)
    occasion = Occasion(started, time.monotonic() - clock, config.command)
    record = make_record(session, verdict, occasion)
    try:
        page = _keep(config, record, split)
    except (OSError, DataError) as error:  # all that is not a file still tells the verdict
        sentence = _describe(error)
        session.results.append(Result.error("outputs", "files", sentence, Fault.OUTPUT))
        verdict = conclude(session.results, interrupted=interrupted)
        record, page = make_record(session, verdict, occasion), None
        with suppress(OSError):  # a report that can be written agrees with the exit code
            page = write_outputs(record, split.images, config.report)
    if not (settings.quiet and verdict.is_pass):
        print(show_record(record, colour=sys.stdout.isatty()))  # noqa: T201
        if page:
            print(f"report: {page}")  # noqa: T201
    if config.pushgateway:
        push_metrics(record, config.pushgateway)
    write_termination_log(record)
    return verdict.exit_code


def _keep(config: Config, record: Record, split: Split) -> Path:
    """Write the report, the history and the baseline; return the report's page."""
    page = write_outputs(record, split.images, config.report)
    if config.history:
        append_run(config.history, record)
    if config.update_baseline and config.baseline:
        if record["exit_code"] == 0:
            write_whole(config.baseline, to_json(record))
            _log.info("baseline: %s is now this run", config.baseline)
        else:
            _log.warning("baseline: %s is left as it was", config.baseline)
    return page


def _describe(error: OSError | DataError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: cannot be written ({error.strerror})"
    return str(error)


def _find_images(config: Config, subjects: list[Subject]) -> tuple[Source | Stream, Split]:
    """The test split, or a stream where `--data` names one and no bundle was evaluated on it."""
    stream = find_stream(config.data)
    origins = [subject.origin for subject in subjects if subject.origin]
    if stream is None or any(stream.may_be(one) for one in origins):
        source = find_source(config.data)
        split = read_split(source)
        if stream is None or any(split.sha256 == one.test_sha256 for one in origins):
            return source, split
    if config.baseline:
        raise DataError(f"--baseline: holds the test split's answers, not those of {config.data}")
    nothing = make_split(np.empty((0, SIDE, SIDE), np.uint8), np.empty(0, np.int64), ())
    return stream, nothing


if __name__ == "__main__":
    sys.exit(main())
