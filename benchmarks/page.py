"""The page of one `make bench`: a table for each model, goals, sizes, versions and a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.load import Burst
from benchmarks.processes import ServerProcess
from benchmarks.report import Ratio, Report, table_of_bursts

Medians = Mapping[int, Mapping[str, Burst]]  # by what is in flight, and the server
_BAR_SHARE: Final = 0.8
_LABEL_LETTERS: Final = 10  # in a line
_WIDEST: Final = 50  # times the smallest bar, beyond which a linear scale hides it


@dataclass(slots=True)
class Page:
    """What is written of a run, part by part."""

    versions: dict[str, str] = field(default_factory=dict)  # of the peers
    _report: Report = field(default_factory=Report)
    _parts: list[str] = field(default_factory=list)
    _plotted: Medians = field(default_factory=dict)

    def note_sizes(self, servers: Mapping[str, ServerProcess]) -> None:
        """Keep the memory and the start of servers, while they run; each server once."""
        names: dict[int, str] = {}
        for name, server in servers.items():
            names.setdefault(server.port, name)  # one server may be asked in two ways
        self._report.figures["sizes"] = {
            name: {
                "resident MB": sum(servers[name].resident_megabytes()),
                "seconds to ready": servers[name].ready_seconds,
            }
            for name in names.values()
        }

    def add(self, title: str, medians: Medians, ratios: Sequence[Ratio]) -> None:
        """Add the part of one model; the first one is plotted."""
        part = Report(ratios=list(ratios))
        rows = [
            (name, count, one) for count, found in medians.items() for name, one in found.items()
        ]
        self._parts += [
            f"## {title}",
            "",
            "```",
            table_of_bursts(rows),
            "",
            part.table(),
            "```",
            "",
        ]
        self._report.ratios += [
            Ratio(f"{title}: {one.name}", one.value, one.goal, one.at_most, one.unit)
            for one in ratios
        ]
        self._report.figures[title] = {
            f"at {count}": {name: asdict(one) for name, one in found.items()}
            for count, found in medians.items()
        }
        self._plotted = self._plotted or medians

    def write(self, folder: Path) -> str:
        """Write page, figures and plot, named by the day; returns the page."""
        date = datetime.now(UTC).date().isoformat()
        self._report.figures["peers"] = self.versions
        self._report.write(folder / f"{date}.json")
        sizes = self._report.figures.get("sizes", {})
        peers = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [
            *(f"# {date}", "", peers or "no peers", ""),
            *self._parts,
            *("## Memory and start", "", "```"),
            *(
                f"{name}: {one['resident MB']:.0f} MB, ready after {one['seconds to ready']:.1f} s"
                for name, one in sizes.items()
            ),
            *("```", "", f"![CPU of a request]({date}.svg)", ""),
        ]
        text = "\n".join(lines)
        (folder / f"{date}.md").write_text(text, encoding="utf-8")
        _plot(folder / f"{date}.svg", self._plotted)
        return f"{text}\nwritten to {folder}/{date}.*"


def _plot(path: Path, medians: Medians) -> None:
    """CPU of a request by server, a bar for each number in flight."""
    mpl.rcParams["svg.hashsalt"] = "gurmukhi"  # the same figures give the same file
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    axes: Any = figure.subplots()
    names = list(next(iter(medians.values())))
    width = _BAR_SHARE / len(medians)
    for place, (count, found) in enumerate(medians.items()):
        heights = [found[name].cpu_microseconds for name in names]
        positions = [index + place * width for index in range(len(names))]
        axes.bar(positions, heights, width, label=f"{count} in flight")
    ticks = [index + (_BAR_SHARE - width) / 2 for index in range(len(names))]
    axes.set_xticks(ticks, [fill(name, _LABEL_LETTERS) for name in names], fontsize=8)
    axes.set_ylabel("server CPU, µs a request")
    costs = [one.cpu_microseconds for found in medians.values() for one in found.values()]
    if max(costs) > _WIDEST * min(costs):
        axes.set_yscale("log")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
