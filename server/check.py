"""Verify a repository and the settings without serving."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gurmukhi.errors import BundleError, GurmukhiError
from server.config import ServerConfig
from server.control import choose
from server.envoy_process import find_envoy
from server.model import load_model
from server.policy import Candidate, Key
from server.tokens import Tokens


class Finding(NamedTuple):
    """One thing that was looked at, and whether it is as it should be."""

    is_good: bool
    text: str


def check(config: ServerConfig) -> Iterator[Finding]:
    """Look at all that a start would, and at the labels; raises BundleError of no repository."""
    if config.front == "envoy":
        yield _tried(find_envoy, "--front envoy: Envoy and Python's shared library are there")
    if config.tls:
        yield _tried(config.tls.read, f"{config.tls.cert}: goes with its key")
    if path := config.token_file:
        yield _tried(lambda: Tokens(path), f"{path}: holds tokens")
    candidates = choose(config.models, config.version_policy, config.model_control)
    yield from map(_proven, candidates.values())
    names = {name for name, _ in candidates}
    if config.default_model and config.default_model not in names:
        there = ", ".join(sorted(names))
        yield Finding(False, f"--default-model {config.default_model}: is not there; has {there}")
    for (model, label), version in config.labels.items():
        yield _labelled(model, label, version, candidates)


def _tried(read: Callable[[], object], praise: str) -> Finding:
    try:
        read()
    except GurmukhiError as error:
        return Finding(False, str(error))
    return Finding(True, praise)


def _proven(candidate: Candidate) -> Finding:
    name = "/".join(candidate.key)
    try:
        model = load_model(candidate.folder)
    except BundleError as error:
        return Finding(False, f"{name}: {error}")
    return Finding(True, f"{name}: proven, sha256 {model.sha256}")


def _labelled(model: str, label: str, version: str, candidates: dict[Key, Candidate]) -> Finding:
    text = f"--labels {model}:{label}={version}"
    if (model, version) in candidates:
        return Finding(True, f"{text}: is there")
    there = ", ".join(number for name, number in candidates if name == model) or "none"
    return Finding(False, f"{text}: no such version is to be served; of {model} there are {there}")
