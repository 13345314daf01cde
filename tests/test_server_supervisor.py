"""The parent of workers, asked for model control."""

import multiprocessing
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from gurmukhi.command import Parser
from server.config import ServerConfig
from server.control import IndexEntry, ModelControl
from server.errors import NotFound
from server.flags import add_arguments
from server.policy import VersionPolicy
from server.replica import Replica
from server.supervisor import Supervisor
from server.worker import RemoteControl


def settings(*flags: str) -> ServerConfig:
    """A server's settings as its flags make them."""
    parser = Parser("gurmukhi-serve", "")
    add_arguments(parser)
    return ServerConfig.from_arguments(parser, parser.parse_args(flags))


def test_model_control_outlives_an_error_that_nobody_foresaw(models: Path) -> None:
    """The thread that answers a worker ended on it, and every later call of that worker failed."""
    reached: Sequence[Replica] | None = None

    def replicas() -> Sequence[Replica]:
        if reached is None:
            raise KeyError("a bug")
        return reached

    supervisor = Supervisor(settings("--models", str(models)), 0, "")
    supervisor.control = ModelControl(
        models, VersionPolicy("all"), "explicit", replicas, lambda key, loaded: None
    )
    ours, theirs = multiprocessing.Pipe()
    threading.Thread(target=supervisor._answer, args=(theirs,), daemon=True).start()
    ours.send(("load", ("mlp",)))
    assert ours.poll(20), "no answer"
    assert "KeyError" in str(ours.recv())
    reached = []
    control = RemoteControl(ours)
    control.load("mlp")
    assert [entry.state for entry in control.index() if entry.name == "mlp"] == ["READY"]
    with pytest.raises(NotFound):
        control.load("nothing")
    assert isinstance(control.index()[0], IndexEntry)
    ours.close()
