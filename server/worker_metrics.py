"""The metrics of a lone worker, asked for by its parent when they are scraped.

Several workers write theirs into files that the parent adds up; each observation then costs a write
for each figure. A lone one keeps them in its memory, and hands them over through a socket.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Metric,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.registry import Collector

_BACKLOG: Final = 16  # scrapes at the same time

_log = logging.getLogger(__name__)


def describe_process(registry: CollectorRegistry) -> None:
    """Add the figures of this process: memory, time, descriptors, garbage."""
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)


def offer_metrics(registry: CollectorRegistry, path: Path) -> None:
    """Answer whoever connects to a socket at `path` with all families, from a thread."""
    listener = Listener(str(path), family="AF_UNIX", backlog=_BACKLOG)

    def serve() -> None:
        while True:
            try:
                with listener.accept() as connection:
                    connection.send(list(registry.collect()))
            except OSError as error:  # a scrape that was broken off
                _log.debug("metrics were not taken: %s", error)

    threading.Thread(target=serve, name="metrics", daemon=True).start()


class WorkerCollector(Collector):
    """The families of a worker that offers them; none while there is no worker."""

    def __init__(self, path: Callable[[], Path | None]) -> None:
        self._path = path

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that a registry does not ask the worker before it is there."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What the worker's registry collects now."""
        path = self._path()
        if path is None:
            return ()
        try:
            with Client(str(path), family="AF_UNIX") as connection:
                families: list[Metric] = connection.recv()
        except (OSError, EOFError):  # it starts, or has just died
            return ()
        return families
