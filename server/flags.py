"""The flags of `gurmukhi-serve`; each has its default from the environment where that is set."""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gurmukhi.command import Parser, positive_number, whole_number
from server.config import FRONTS
from server.control import MODES
from server.cors import parse_origins
from server.cpus import PINS, cpu_limit
from server.logs import FORMATS
from server.policy import VersionPolicy, parse_labels

T = TypeVar("T")


def add_arguments(parser: Parser, environment: Mapping[str, str] = os.environ) -> None:
    """Declare the flags; each has its default from `GURMUKHI_<FLAG>` where that is set."""

    def flag(
        name: str, default: str | None, text: str, metavar: str, *, alias: str = "", **options: Any
    ) -> None:
        variable = _variable(name)
        given = environment.get(variable)
        if given is not None and given.startswith("tcp://"):
            given = None  # Kubernetes' link to a service named gurmukhi, not a setting
        # A default that is text goes through `type`, so a bad variable is a usage error too.
        shown = "none" if default is None else default
        parser.add_argument(
            *filter(None, (name, alias)),
            default=default if given is None else given,
            metavar=metavar,
            help=f"{text} (${variable}; default: {shown})",
            **options,
        )

    def switch(name: str, *, default: bool, text: str) -> None:
        variable = _variable(name)
        parser.add_argument(
            name,
            action=argparse.BooleanOptionalAction,
            default=_parse_switch(parser, variable, environment.get(variable), default=default),
            help=f"{text} (${variable}; default: {'on' if default else 'off'})",
        )

    # The aliases are what KServe's own servers call these.
    flag("--models", "models", "the model repository", "DIR", type=Path, alias="--model_dir")
    flag(
        "--front",
        "grpcio",
        "what answers on the port: grpcio, or envoy (the extra `envoy`; also JSON over HTTP)",
        "FRONT",
        type=_one_of(FRONTS),
    )
    flag("--host", "0.0.0.0", "the address to listen on", "ADDRESS")  # noqa: S104 - a server
    flag(
        "--port",
        "8001",
        "the port of gRPC; 0 is a free one",
        "PORT",
        type=_port,
        alias="--grpc_port",
    )
    flag(
        "--metrics-port",
        "8002",
        "the port of /metrics, /livez and /readyz over HTTP, never with TLS; 0 is a free one",
        "PORT",
        type=_port,
        alias="--http_port",
    )
    flag(
        "--workers",
        "1",
        "processes on the one port; auto is one for each CPU that the container may use",
        "N",
        type=_workers,
    )
    flag(
        "--pin",
        "auto",
        "keep each process on a CPU of its own: on, off, or auto, where the CPUs are not shared",
        "MODE",
        type=_one_of(PINS),
    )
    flag("--threads", "4", "threads a worker for inference", "N", type=whole_number(1, 256))
    flag(
        "--queue",
        "100",
        "calls a worker that may wait for such a thread, the next is refused; as many more may be "
        "on their way",
        "N",
        type=whole_number(0, 100_000),
    )
    flag("--streams", "32", "streams a worker at one time", "N", type=whole_number(1, 10_000))
    flag(
        "--default-model",
        None,
        "the model that answers where DigitService's caller names none; else mlp if it is there",
        "NAME",
    )
    flag(
        "--labels",
        "",
        "names for versions, such as mlp:stable=1,mlp:canary=2",
        "MODEL:LABEL=VERSION,…",
        type=_value_of(parse_labels),
    )
    flag(
        "--version-policy",
        "all",
        "which versions are served: all, latest:N or specific:N,N",
        "POLICY",
        type=_value_of(VersionPolicy),
    )
    flag(
        "--model-control",
        "none",
        "when models change: none (at the start alone), poll (when the repository does) or "
        "explicit (by RepositoryModelLoad and RepositoryModelUnload)",
        "MODE",
        type=_one_of(MODES),
    )
    flag(
        "--poll-seconds",
        "10",
        "between two looks at the repository under --model-control poll",
        "SECONDS",
        type=positive_number,
    )
    flag("--max-batch-size", "1000", "the most images in a call", "N", type=whole_number(1, 65536))
    flag(
        "--max-message-bytes",
        str(1 << 20),
        "the largest request that is taken",
        "BYTES",
        type=whole_number(1024, 1 << 30),
    )
    switch("--compression", default=False, text="take and send compressed messages")
    flag(
        "--max-connection-age-seconds",
        "0",
        "after this a client is asked to connect anew, so that load spreads; 0 is never",
        "SECONDS",
        type=_number_from_0,
    )
    flag(
        "--keepalive-seconds",
        "60",
        "between two pings of an idle connection",
        "SECONDS",
        type=positive_number,
    )
    flag("--tls-cert", None, "the server's certificate chain, PEM", "FILE", type=Path)
    flag("--tls-key", None, "its private key, PEM", "FILE", type=Path)
    flag("--tls-client-ca", None, "let in only clients that this CA signed", "FILE", type=Path)
    flag("--token-file", None, "bearer tokens, one a line; health is open", "FILE", type=Path)
    flag(
        "--cors-origins",
        "",
        "pages of these origins may call by JSON and gRPC-Web, or *; with --front envoy",
        "ORIGIN,…",
        type=_value_of(parse_origins),
    )
    switch("--page", default=False, text="serve a page to draw digits on at /; needs --front envoy")
    switch("--reflection", default=True, text="describe the services to clients that ask")
    flag(
        "--low-confidence",
        "0.5",
        "warn of a digit whose probability is below this",
        "P",
        type=_probability,
    )
    flag(
        "--pause-seconds",
        "0",
        "after SIGTERM, how long to answer on while load balancers see NOT_SERVING",
        "SECONDS",
        type=_number_from_0,
    )
    flag(
        "--drain-seconds",
        "10",
        "after that, how long calls under way may last",
        "SECONDS",
        type=positive_number,
    )
    flag("--log-format", "text", "text or json", "FORMAT", type=_one_of(FORMATS))
    flag(
        "--access-log",
        "0",
        "log every N-th call; 0 is none",
        "N",
        type=whole_number(0),
    )


def flag_names(parser: Parser) -> list[str]:
    """The flags of `gurmukhi-serve`, for the documentation's test."""
    return [action.option_strings[0] for action in parser._actions if action.option_strings]


def _variable(name: str) -> str:
    return "GURMUKHI_" + name.strip("-").replace("-", "_").upper()


def _parse_switch(parser: Parser, variable: str, value: str | None, *, default: bool) -> bool:
    switches = {None: default, "1": True, "true": True, "0": False, "false": False}
    if value not in switches:
        parser.error(f"{variable}={value}: expected true or false")
    return switches[value]


def _value_of(parse: Callable[[str], T]) -> Callable[[str], T]:
    """An argparse type from a parser that raises ValueError, with its message kept."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error

    return checked


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """An argparse type; unlike `choices` it also holds for a default from the environment."""

    def checked(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return checked


def _workers(text: str) -> int:
    return cpu_limit() if text == "auto" else whole_number(1, 256)(text)


def _number_from_0(text: str) -> float:
    return 0.0 if text.strip(" 0.") == "" and text.strip() else positive_number(text)


def _probability(text: str) -> float:
    value = _number_from_0(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no probability from 0 to 1")
    return value


_port = whole_number(0, 65535)
