"""What a benchmark found: figures with their unit, ratios with their goal, as a table and JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from gurmukhi.terminal import format_table

_PACKAGES: Final = ("grpcio", "numpy", "onnxruntime", "prometheus-client", "protobuf")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One goal: a ratio of two figures of this run, or a size; reached or missed."""

    name: str
    value: float
    goal: float
    at_most: bool = False
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal


@dataclass(slots=True)
class Report:
    """Everything that one run measured."""

    ratios: list[Ratio] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON, with date, machine and versions."""
        document = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpus": os.cpu_count(), "processor": _processor()},
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in _PACKAGES},
            },
            "ratios": {one.name: asdict(one) | {"reached": one.is_reached} for one in self.ratios},
            "figures": self.figures,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def table(self) -> str:
        """The ratios beside their goals."""
        return format_table(("what", "value", "goal", ""), [_row(one) for one in self.ratios])


def table_of_bursts(rows: Sequence[tuple[str, int, Any]]) -> str:
    """Servers with the medians of their bursts: (name, in flight, Burst)."""
    header = ("server", "in flight", "requests/s", "CPU µs", "p50 µs", "p99 µs")
    return format_table(
        header,
        [
            (
                name,
                str(in_flight),
                f"{one.requests_per_second:,.0f}",
                f"{one.cpu_microseconds:.0f}",
                f"{one.p50_microseconds:.0f}",
                f"{one.p99_microseconds:.0f}",
            )
            for name, in_flight, one in rows
        ],
    )


def _row(one: Ratio) -> tuple[str, ...]:
    bound = "≤" if one.at_most else "≥"
    value = f"{one.value:.2f}" if one.goal < 10 else f"{one.value:.0f}"
    return (
        one.name,
        f"{value}{one.unit}",
        f"{bound} {one.goal:g}{one.unit}",
        "reached" if one.is_reached else "missed",
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
