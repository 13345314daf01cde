"""What a run is asked to do, apart from what it is asked about."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """How slow a model's calls may be."""

    quantile: str  # such as "p99"
    seconds: float
    model: str = ""  # a name or name:version; "" for all

    def __str__(self) -> str:
        model = f"{self.model}:" if self.model else ""
        return f"{model}{self.quantile}={self.seconds * 1e3:g}ms"


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices that the checks look at."""

    checks: tuple[str, ...]
    timeout_seconds: float = 5.0
    concurrency: int = 8  # calls at a time of the closed loop
    batch: int = 32  # images a call of a stream; any server takes so many
    rate: float = 200.0  # arrivals a second, all models together, of the open loop
    seed: int = 0  # of the shuffled order and of the arrivals
    budgets: tuple[Budget, ...] = ()
    metrics_url: str = ""  # of the first address's /metrics; with {host}, of each one's
    exact_metrics: bool = False  # nobody else sends: counters rise by what was sent, exactly
    allow_lost: int = 0  # right answers that may be lost against the baseline
    accept_fall: bool = False
    quiet: bool = False
