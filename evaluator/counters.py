"""Check that a server's own counters rose by what was sent to it."""

import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Final

from evaluator.results import Fault, Result
from evaluator.session import Session
from evaluator.target import DIGITS, INFERENCE, Target

_COUNTER: Final = "grpc_server_handled_total"
_SAMPLE: Final = re.compile(rf"^{_COUNTER}\{{(?P<labels>[^}}]*)\}}\s+(?P<value>\S+)", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Health is left out: whoever runs the server probes it too.
_COUNTED: Final = (INFERENCE, DIGITS)
# A handler counts after it has answered: give the last ones this long.
_SETTLE_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 5.0
# Stands in a URL for the host of each address.
_HOST: Final = "{host}"
# Codes of calls that may not have reached the server.
_OURS: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")

Counts = Counter[tuple[str, str, str]]
"""service, method, code -> calls."""


class CountersError(Exception):
    """A /metrics page cannot be read."""


class NoCountersError(CountersError):
    """A /metrics page has no such counter."""


def read_counters(url: str) -> Counts:
    """Read `grpc_server_handled_total` from a Prometheus page; raises CountersError."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as reply:  # noqa: S310 - checked
            page = reply.read().decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        raise CountersError(f"{url} cannot be read: {error}") from error
    if _COUNTER not in page:
        raise NoCountersError(f"{url} has no {_COUNTER}")
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
    for target, url in _pages(session):
        try:
            session.counters[target.address] = read_counters(url)
            session.counted[target.address] = Counter(target.calls.outcomes)
        except NoCountersError as error:
            yield Result.not_offered("metrics", target.address, str(error))
        except CountersError as error:
            yield Result.error("metrics", target.address, str(error))


def check_metrics(session: Session) -> Iterator[Result]:
    """Whether the counters rose by at least what was sent, or exactly where nobody else sends."""
    pages = _pages(session)
    if not pages:
        why = "no --metrics URL is given"
        yield Result.skipped("metrics", session.targets[0].address, why)
    for target, url in pages:
        if target.address not in session.counters:
            yield Result.skipped("metrics", target.address, "nothing was counted at the start")
            continue
        try:
            yield _risen(session, target, url)
        except CountersError as error:
            yield Result.error("metrics", target.address, str(error))


def _pages(session: Session) -> list[tuple[Target, str]]:
    """Whose page is read, and where: each address's own, or one that is the first address's."""
    url = session.settings.metrics_url
    if _HOST in url:
        return [
            (target, url.replace(_HOST, target.address.rpartition(":")[0]))
            for target in session.targets
        ]
    return [(session.targets[0], url)] if url else []


def _risen(session: Session, target: Target, url: str) -> Result:
    exact = session.settings.exact_metrics
    sent = Counter(target.calls.outcomes)
    sent.subtract(session.counted[target.address])
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        risen = read_counters(url)
        risen.subtract(session.counters[target.address])
        wrong = _differences(sent, risen, exact=exact)
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if min(risen.values(), default=0) < 0:
        sentence = f"{url}: {_COUNTER} fell: the server was started anew"
        return Result.error("metrics", target.address, sentence)
    if wrong:
        sentence = f"{url}: {_COUNTER} is wrong: {'; '.join(wrong)}"
        return Result.failed("metrics", target.address, Fault.PARITY, sentence, wrong=wrong)
    how = "exactly" if exact else "at least"
    sentence = f"rose by {how} the {sum(sent.values())} calls sent"
    return Result.passed("metrics", target.address, sentence)


def _differences(sent: Counts, risen: Counts, *, exact: bool) -> list[str]:
    return [
        f"{'/'.join(key[:2])} {key[2]} rose by {risen[key]}, {sent[key]} were sent"
        for key in sorted({*sent, *risen} if exact else sent)
        if key[0] in _COUNTED
        and (risen[key] != sent[key] if exact else risen[key] < sent[key])
        and (exact or key[2] not in _OURS)
    ]
