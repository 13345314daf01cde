"""The command `gurmukhi-serve`."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from gurmukhi.command import EXIT_INTERRUPTED, Parser, run
from server.config import ServerConfig, add_arguments
from server.digit_service import DigitService
from server.grpc_front import FrontConfig, GrpcFront
from server.http import HttpServer
from server.inference_service import InferenceService
from server.metrics import ServerMetrics
from server.predictor import Predictor
from server.repository import Repository

_EXAMPLES: Final = (
    "gurmukhi-serve --models models/",
    "gurmukhi-serve --models models/ --port 0 --metrics-port 0",
)

_log = logging.getLogger("server")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gurmukhi-serve`."""
    parser = Parser(
        "gurmukhi-serve",
        "Serve a model repository: gRPC (gurmukhi.v1.DigitService, Open Inference v2, health, "
        "reflection) and Prometheus metrics over HTTP. "
        "No version is served before it has reproduced its golden vectors.",
        _EXAMPLES,
    )
    add_arguments(parser)
    return run(parser, _serve, argv)


def _serve(arguments: argparse.Namespace) -> int:
    config = ServerConfig.from_arguments(arguments)
    stopping = threading.Event()
    received: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        if received:  # a second one does not wait for the drain
            os._exit(128 + number)
        received.append(number)
        stopping.set()

    disable_created_metrics()  # a series for each series, which nobody reads
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    metrics = ServerMetrics(registry)
    repository = Repository.load(config.models, config.default_model)
    ready = threading.Event()
    front = _build_front(config, repository, metrics, ready)
    http = HttpServer(config.host, config.metrics_port, registry, ready.is_set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    for model in repository:
        front.set_health(f"model/{model.name}", serving=True)
    http.start()
    front.start()
    ready.set()
    print(  # noqa: T201
        f"ready: gRPC on {config.host}:{front.port}, HTTP on {config.host}:{http.port}, "
        f"{len(list(repository))} model versions",
        flush=True,
    )
    stopping.wait()
    _log.info("%s: draining", signal.Signals(received[0]).name)
    ready.clear()
    front.drain(config.drain_seconds)
    http.stop()
    _log.info("stopped")
    return EXIT_INTERRUPTED if received[0] == signal.SIGINT else 0


def _build_front(
    config: ServerConfig,
    repository: Repository,
    metrics: ServerMetrics,
    ready: threading.Event,
) -> GrpcFront:
    predictor = Predictor(repository, metrics)
    services = (
        DigitService(
            repository,
            predictor,
            max_batch_size=config.max_batch_size,
            low_confidence=config.low_confidence,
        ),
        InferenceService(
            repository,
            predictor,
            max_batch_size=config.max_batch_size,
            is_ready=ready.is_set,
        ),
    )
    front = GrpcFront(
        FrontConfig(config.host, config.port, config.threads, config.max_message_bytes),
        services,
        metrics,
    )
    for name in ("liveness", *(service.name for service in services)):
        front.set_health(name, serving=True)
    return front


if __name__ == "__main__":
    sys.exit(main())
