"""One serving process: its models, services and front, put together."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry

from server.access_log import AccessLog
from server.admission import Admission
from server.config import ServerConfig
from server.control import Control
from server.digit_service import DigitService
from server.health import HealthService
from server.inference_service import InferenceService
from server.memory import limit_heap
from server.metrics import ServerMetrics
from server.model import Model
from server.policy import Key
from server.predictor import Predictor
from server.reflection import ReflectionService
from server.replica import Failures, LocalReplica
from server.repository import Catalogue, Repository
from server.service import Service
from server.statistics import MetricStatistics
from server.tokens import Tokens
from server.triton_service import TritonService


@dataclass(frozen=True, slots=True)
class Parts:
    """What a front is put before."""

    services: Sequence[Service]
    admission: Admission
    metrics: ServerMetrics
    tokens: Tokens | None
    access_log: AccessLog | None


class Front(Protocol):
    """What brings calls to the services, and their answers back."""

    def start(self) -> None:
        """Begin to answer."""
        ...

    def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, end those that are idle, wait for the others for the grace at most."""
        ...


F = TypeVar("F", bound=Front)


class ServingProcess(Generic[F]):
    """Everything between the port and the graphs; a server has one, or one in each worker."""

    def __init__(
        self,
        config: ServerConfig,
        registry: CollectorRegistry,
        control: Control,
        make_front: Callable[[Parts], F],
    ) -> None:
        limit_heap()
        self.metrics = ServerMetrics(registry)
        self._serves = threading.Event()
        self.repository = Repository(Catalogue())
        self.replica = LocalReplica(
            self.repository,
            default=config.default_model,
            labels=config.labels,
            on_change=self._announce,
        )
        admission = Admission(threads=config.threads, queue=config.queue, streams=config.streams)
        self._health = HealthService(admission.watch_pool)
        predictor = Predictor(self.metrics)
        self._services = (
            DigitService(
                self.repository,
                predictor,
                max_batch_size=config.max_batch_size,
                low_confidence=config.low_confidence,
            ),
            InferenceService(
                self.repository,
                predictor,
                max_batch_size=config.max_batch_size,
                is_ready=self.is_ready,
                triton=TritonService(
                    self.repository,
                    control,
                    MetricStatistics(registry),
                    max_batch_size=config.max_batch_size,
                    instances=config.threads,
                ),
            ),
            self._health,
        )
        reflection = ReflectionService(service.name for service in self._services)
        self.front = make_front(
            Parts(
                [*self._services, reflection] if config.reflection else self._services,
                admission,
                self.metrics,
                tokens=Tokens(config.token_file) if config.token_file else None,
                access_log=AccessLog(config.access_log) if config.access_log else None,
            )
        )

    def start(self) -> None:
        """Begin to answer; models must be there."""
        self.front.start()
        self._serves.set()

    def is_ready(self) -> bool:
        """Whether it answers, and has a model to answer by."""
        return self._serves.is_set() and any(True for _ in self.repository)

    def drain(self, pause_seconds: float, grace_seconds: float) -> None:
        """Say NOT_SERVING, answer on while load balancers look, then finish what is under way."""
        if not self._serves.is_set():
            return
        self._health.drain()
        self._serves.clear()
        threading.Event().wait(pause_seconds)
        self.front.stop(grace_seconds)

    def _announce(self, repository: Repository, failures: Failures) -> None:
        models = list(repository)
        self.metrics.announce(models)
        self._health.set(_statuses([service.name for service in self._services], models, failures))


def _statuses(
    services: list[str], models: list[Model], failures: Mapping[Key, str]
) -> dict[str, bool]:
    """Names of the health service: the server, its services, each model and each version.

    A model serves while any version of it does; a version that failed to load is named apart.
    Without a model there is nothing to answer by, so all but liveness are not serving.
    """
    statuses = dict.fromkeys(["", *services], bool(models))
    statuses["liveness"] = True
    for name, version in failures:
        statuses[f"model/{name}"] = False
        statuses[f"model/{name}/{version}"] = False
    for model in models:
        statuses[f"model/{model.name}"] = True
        statuses.setdefault(f"model/{model.name}/{model.version}", True)
    return statuses
