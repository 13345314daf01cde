"""Tell others how a run ended: a Pushgateway, and the log in which Kubernetes looks for it."""

import logging
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from evaluator.report import Record

TERMINATION_LOG: Final = Path("/dev/termination-log")
_JOB: Final = "gurmukhi_evaluation"
_TIMEOUT_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


def render_metrics(record: Record) -> str:
    """The run in Prometheus's text format.

    The time of success is left out of a run without it, so that a gateway keeps the last one.
    """
    families: dict[str, list[str]] = {}
    for name, labels, value in _samples(record):
        text = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
        families.setdefault(name, []).append(
            f"{name}{{{text}}} {value}" if text else f"{name} {value}"
        )
    return "".join(
        f"# TYPE {name} gauge\n" + "\n".join(samples) + "\n" for name, samples in families.items()
    )


def _samples(record: Record) -> Iterator[tuple[str, dict[str, str], float]]:
    finished = datetime.fromisoformat(record["started"]).timestamp() + record["seconds"]
    yield f"{_JOB}_exit_code", {}, record["exit_code"]
    yield f"{_JOB}_last_run_timestamp_seconds", {}, finished
    if record["exit_code"] == 0:
        yield f"{_JOB}_last_success_timestamp_seconds", {}, finished
    yield f"{_JOB}_duration_seconds", {}, record["seconds"]
    for state, count in record["calls"].items():
        yield f"{_JOB}_calls", {"state": state}, count
    for model in record["models"]:
        served = model["served"]
        if served is None:
            continue
        labels = {"model": model["name"], "version": model["version"]}
        labels["source"] = record["data"]["source"]
        yield f"{_JOB}_images", labels, served["count"]
        yield f"{_JOB}_correct", labels, served["correct"]
        if served["differing"] is not None:
            yield f"{_JOB}_differing_labels", labels, served["differing"]
        for quantile, seconds in model["latency_seconds"].items():
            share = f"{float(quantile[1:]) / 100:g}"
            yield f"{_JOB}_latency_seconds", {**labels, "quantile": share}, seconds


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def push_metrics(record: Record, gateway: str) -> None:
    """Send a run to a Pushgateway; a gateway that fails is warned of and changes no verdict."""
    request = urllib.request.Request(  # noqa: S310 - the flag takes http and https alone
        f"{gateway.rstrip('/')}/metrics/job/{_JOB}",
        data=render_metrics(record).encode(),
        method="POST",  # replaces what is named here, and keeps the last success
        headers={"Content-Type": "text/plain; version=0.0.4"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - as above
            pass
    except OSError as error:
        _log.warning("--pushgateway %s: not told of this run: %s", gateway, error)


def write_termination_log(record: Record, path: Path = TERMINATION_LOG) -> None:
    """Say the verdict where Kubernetes reads a container's last words."""
    if not path.exists():
        return
    line = f"{record['verdict']} (exit code {record['exit_code']}): {record['sentence']}\n"
    try:
        path.write_text(line[:4096], encoding="utf-8")  # Kubernetes keeps as much
    except OSError as error:
        _log.warning("%s: not written: %s", path, error)
