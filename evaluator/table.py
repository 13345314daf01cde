"""Show a record on the terminal: a row a model, what failed in sentences, the verdict."""

from typing import Any

from evaluator.latency import show_seconds
from evaluator.report import Record
from gurmukhi.terminal import format_table

HEADER = ("model", "version", "offline", "served", "differ", "p50", "p99")
_NONE = "–"
_SHOWN = 12  # failures; a target that is wrong throughout fails every check of every model


def show_record(record: Record, *, colour: bool) -> str:
    """The text of a record; `colour` is for terminals."""
    parts = [notice(record)] if notice(record) else []
    parts.append(format_table(HEADER, [model_row(model) for model in record["models"]]))
    failures = [check for check in record["checks"] if check["fault"]]
    changes = [
        f"± {check['check']}: {check['sentence']}"
        for check in record["checks"]
        if check["evidence"].get("changed") and not check["fault"]
    ]
    if changes:
        parts.append("\n".join(changes))
    if failures:
        lines = [f"✗ {check['check']}: {check['sentence']}" for check in failures[:_SHOWN]]
        if len(failures) > _SHOWN:
            lines.append(f"✗ and {len(failures) - _SHOWN} more in the report")
        parts.append("\n".join(lines))
    counts = outcome_counts(record)
    calls = record["calls"]
    parts.append(
        f"checks: {counts}; calls: {calls['sent']} sent, {calls['retried']} retried, "
        f"{calls['lost']} lost; {record['seconds']:.1f} s"
    )
    verdict = f"verdict: {record['verdict']} (exit code {record['exit_code']})"
    if colour:
        verdict = f"\x1b[1;{32 if record['exit_code'] == 0 else 31}m{verdict}\x1b[0m"
    parts.append(verdict)
    return "\n\n".join(parts)


def notice(record: Record) -> str:
    """A loud word where the digits are not real ones; else ""."""
    data = record["data"]
    if not data["synthetic"]:
        return ""
    return (
        f"SYNTHETIC DIGITS: these {data['images']:,} images were drawn by a program; "
        "the figures say nothing about real handwriting"
    )


def outcome_counts(record: Record) -> str:
    """Such as "40 pass, 2 fail, 1 skipped"."""
    outcomes = [str(check["outcome"]) for check in record["checks"]]
    return ", ".join(f"{outcomes.count(one)} {one}" for one in dict.fromkeys(outcomes))


def model_row(model: Record) -> tuple[str, ...]:
    """The cells of a model, under HEADER."""
    latency, served = model["latency_seconds"], model["served"]
    return (
        model["name"],
        model["version"],
        show_accuracy(model["offline"]),
        show_accuracy(served),
        _NONE if served is None or served["differing"] is None else str(served["differing"]),
        show_seconds(latency["p50"]) if latency else _NONE,
        show_seconds(latency["p99"]) if latency else _NONE,
    )


def show_accuracy(figures: dict[str, Any] | None) -> str:
    """Such as "173/178 0.9719"; "–" where nothing was answered."""
    if not figures or not figures["count"]:
        return _NONE
    return f"{figures['correct']}/{figures['count']} {figures['accuracy']:.4f}"
