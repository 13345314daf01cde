"""What a server is told at its start, from flags and the environment."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gurmukhi.command import Parser, positive_number, whole_number


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The flags of `gurmukhi-serve`, checked."""

    models: Path
    host: str
    port: int
    metrics_port: int
    default_model: str | None
    threads: int
    max_batch_size: int
    max_message_bytes: int
    drain_seconds: float
    low_confidence: float

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Self:
        """Take over what the parser found."""
        return cls(**{name: getattr(arguments, name) for name in cls.__dataclass_fields__})


def add_arguments(parser: Parser, environment: Mapping[str, str] = os.environ) -> None:
    """Declare the flags; each has its default from `GURMUKHI_<FLAG>` where that is set."""

    def flag(name: str, default: Any, help_text: str, **options: Any) -> None:
        variable = "GURMUKHI_" + name.strip("-").replace("-", "_").upper()
        # A default that is text goes through `type`, so a bad variable is a usage error too.
        value = environment.get(variable, default)
        parser.add_argument(
            name,
            default=value,
            help=f"{help_text} (${variable}; default: {default})",
            **options,
        )

    flag("--models", "models", "the model repository", type=Path, metavar="DIR")
    flag("--host", "0.0.0.0", "the address to listen on", metavar="ADDRESS")  # noqa: S104 - a server
    flag("--port", "8001", "the port of gRPC; 0 is a free one", type=_port, metavar="PORT")
    flag(
        "--metrics-port",
        "8002",
        "the port of /metrics, /livez and /readyz over HTTP; 0 is a free one",
        type=_port,
        metavar="PORT",
    )
    flag(
        "--default-model",
        None,
        "the model that answers where DigitService's caller names none; mlp if it is there",
        metavar="NAME",
    )
    flag("--threads", "8", "threads that handle calls", type=whole_number(1, 256), metavar="N")
    flag(
        "--max-batch-size",
        "1024",
        "the most images in one call",
        type=whole_number(1, 65536),
        metavar="N",
    )
    flag(
        "--max-message-bytes",
        str(1 << 20),
        "the largest request that is taken",
        type=whole_number(1024, 1 << 30),
        metavar="BYTES",
    )
    flag(
        "--drain-seconds",
        "10",
        "how long calls under way may last after SIGTERM",
        type=positive_number,
        metavar="SECONDS",
    )
    flag(
        "--low-confidence",
        "0.5",
        "warn of a digit whose probability is below this",
        type=positive_number,
        metavar="P",
    )


_port = whole_number(0, 65535)
