"""Check that a server's own counters rose by what was sent to it."""

import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Final

from evaluator.results import Fault, Result
from evaluator.session import Session
from evaluator.target import DIGITS, INFERENCE

_COUNTER: Final = "grpc_server_handled_total"
_SAMPLE: Final = re.compile(rf"^{_COUNTER}\{{(?P<labels>[^}}]*)\}}\s+(?P<value>\S+)", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Health is left out: whoever runs the server probes it too.
_COUNTED: Final = (INFERENCE, DIGITS)
# A handler counts after it has answered: give the last ones this long.
_SETTLE_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 5.0

Counts = Counter[tuple[str, str, str]]
"""service, method, code -> calls."""


class CountersError(Exception):
    """A /metrics page cannot be read, or lacks the counter."""


def read_counters(url: str) -> Counts:
    """Read `grpc_server_handled_total` from a Prometheus page; raises CountersError."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as reply:  # noqa: S310 - checked
            page = reply.read().decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        raise CountersError(f"{url} cannot be read: {error}") from error
    if _COUNTER not in page:
        raise CountersError(f"{url} has no {_COUNTER}")
    counts: Counts = Counter()
    for sample in _SAMPLE.finditer(page):
        labels = dict(_LABEL.findall(sample["labels"]))
        key = (
            labels.get("grpc_service", ""),
            labels.get("grpc_method", ""),
            labels.get("grpc_code", ""),
        )
        counts[key] += int(float(sample["value"]))
    return counts


def check_metrics_before(session: Session) -> Iterator[Result]:
    """Note where the counters stand; says something only where they cannot be read."""
    if not session.settings.metrics_url:
        return
    try:
        session.counters = read_counters(session.settings.metrics_url)
        session.counted = Counter(session.targets[0].calls.outcomes)
    except CountersError as error:
        yield Result.error("metrics", session.targets[0].address, str(error))


def check_metrics(session: Session) -> Iterator[Result]:
    """Whether the counters rose by at least what was sent, or exactly where nobody else sends."""
    target, settings = session.targets[0], session.settings
    if session.counters is None:
        why = "could not be read" if settings.metrics_url else "no --metrics URL is given"
        yield Result.skipped("metrics", target.address, why)
        return
    deadline = time.monotonic() + _SETTLE_SECONDS
    try:
        while True:
            now = read_counters(settings.metrics_url)
            wrong = _differences(session, now)
            if not wrong or time.monotonic() > deadline:
                break
            time.sleep(0.1)
    except CountersError as error:
        yield Result.error("metrics", target.address, str(error))
        return
    sent = sum(target.calls.outcomes.values()) - sum(session.counted.values())
    if wrong:
        sentence = f"{settings.metrics_url}: {_COUNTER} is wrong: {'; '.join(wrong)}"
        yield Result.failed("metrics", target.address, Fault.PARITY, sentence, wrong=wrong)
    else:
        how = "exactly" if settings.exact_metrics else "at least"
        yield Result.passed("metrics", target.address, f"rose by {how} the {sent} calls sent")


def _differences(session: Session, now: Counts) -> list[str]:
    assert session.counters is not None  # noqa: S101 - the caller has looked
    sent = Counter(session.targets[0].calls.outcomes)
    sent.subtract(session.counted)
    risen = Counter(now)
    risen.subtract(session.counters)
    exact = session.settings.exact_metrics
    return [
        f"{'/'.join(key[:2])} {key[2]} rose by {risen[key]}, {sent[key]} were sent"
        for key in sorted({*sent, *risen} if exact else sent)
        if key[0] in _COUNTED and (risen[key] != sent[key] if exact else risen[key] < sent[key])
    ]
