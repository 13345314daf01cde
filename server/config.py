"""What a server is told at its start; `server.flags` has the flags."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from gurmukhi.command import Parser
from server.control import Mode
from server.cpus import Pin
from server.logs import Format
from server.policy import Key, VersionPolicy
from server.tls import TlsFiles

FrontKind = Literal["grpcio", "envoy"]
FRONTS: Final[tuple[FrontKind, ...]] = get_args(FrontKind)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The flags of `gurmukhi-serve`, checked."""

    models: Path
    front: FrontKind
    host: str
    port: int
    metrics_port: int
    workers: int
    pin: Pin
    threads: int
    queue: int
    streams: int
    default_model: str | None
    labels: Mapping[Key, str]
    version_policy: VersionPolicy
    model_control: Mode
    poll_seconds: float
    max_batch_size: int
    max_message_bytes: int
    compression: bool
    page: bool
    max_connection_age_seconds: float
    keepalive_seconds: float
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    token_file: Path | None
    cors_origins: tuple[str, ...]
    reflection: bool
    low_confidence: float
    pause_seconds: float
    drain_seconds: float
    log_format: Format
    log_level: int
    access_log: int

    @property
    def tls(self) -> TlsFiles | None:
        """The certificate and its key, where both are given."""
        if self.tls_cert and self.tls_key:
            return TlsFiles(self.tls_cert, self.tls_key, self.tls_client_ca)
        return None

    @property
    def has_lone_envoy(self) -> bool:
        """Whether one Envoy is all that serves."""
        return self.front == "envoy" and self.workers == 1

    @classmethod
    def from_arguments(cls, parser: Parser, arguments: argparse.Namespace) -> Self:
        """Take over what the parser found; flags that contradict each other are a usage error."""
        level = (
            logging.WARNING
            if arguments.quiet
            else logging.DEBUG
            if arguments.verbose
            else logging.INFO
        )
        arguments.log_level = level
        config = cls(**{name: getattr(arguments, name) for name in cls.__dataclass_fields__})
        if (config.tls_cert is None) != (config.tls_key is None):
            parser.error("--tls-cert and --tls-key go together")
        if config.tls_client_ca and not config.tls_cert:
            parser.error("--tls-client-ca needs --tls-cert and --tls-key")
        if config.cors_origins and config.front != "envoy":
            parser.error("--cors-origins needs --front envoy")
        if config.page and config.front != "envoy":
            parser.error("--page needs --front envoy: a browser cannot call gRPC")
        return config

    def describe(self) -> dict[str, Any]:
        """The settings by name, for `--print-config`; no secret is among them."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["labels"] = {":".join(key): version for key, version in self.labels.items()}
        return {
            name: str(value) if isinstance(value, Path | VersionPolicy) else value
            for name, value in plain.items()
        }
