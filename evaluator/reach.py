"""Check that addresses live, are ready, and serve the bundles' model files."""

from collections.abc import Iterator
from typing import Final

import grpc

from evaluator.results import Fault, Outcome, Result
from evaluator.session import Session, Subject
from evaluator.target import Target
from gurmukhi.errors import CallError

SHA256_PROPERTY: Final = "sha256"


def check_reach(session: Session) -> Iterator[Result]:
    """Whether each address lives, is ready, says so on every road, and serves each version."""
    for target in session.targets:
        reached = reach(target)
        if reached.outcome is Outcome.ERROR:
            session.unreached.add(target.address)
        yield reached
    if len(session.unreached) == len(session.targets):
        for subject in session.subjects:
            subject.blocked = "the target was not reached"
        return
    for subject in session.subjects:
        yield _model_ready(session.target, subject)


def reach(target: Target) -> Result:
    """Whether one address lives and is ready, and its health service agrees."""
    try:
        live, ready = target.is_live(), target.is_ready()
    except CallError as error:
        return Result.error(
            "reach",
            target.address,
            f"{target.address} cannot be reached: {error.code.name}: {error.details}",
        )
    health = _health(target, "")
    said = {"ServerLive": live, "ServerReady": ready, "grpc.health.v1": health or "not offered"}
    evidence = {"said": said}
    if not live or not ready or health not in ("SERVING", ""):
        words = f"ServerLive {live}, ServerReady {ready}, health {health or 'not offered'}"
        return Result.failed(
            "reach",
            target.address,
            Fault.INFRASTRUCTURE,
            f"{target.address} is not ready on every road: {words}",
            **evidence,
        )
    return Result.passed("reach", target.address, "lives and is ready", **evidence)


def _health(target: Target, service: str) -> str:
    """The health service's word; "" where it is not offered or does not know the service."""
    try:
        return target.health(service)
    except CallError as error:
        if error.code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND):
            return ""
        return error.code.name


def _model_ready(target: Target, subject: Subject) -> Result:
    try:
        ready = target.is_model_ready(subject.name, subject.version)
    except CallError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            subject.blocked = "not served"
            sentence = f"{subject.key} is in the repository, and the target does not know it"
            return Result.failed("reach", subject.key, Fault.PARITY, sentence)
        subject.blocked = "ModelReady failed"
        return Result.error("reach", subject.key, f"ModelReady of {subject.key}: {error}")
    health = _health(target, f"model/{subject.name}")
    if not ready or health not in ("SERVING", ""):
        subject.blocked = "not ready"
        sentence = f"{subject.key} is not ready: ModelReady {ready}, health {health or 'no word'}"
        return Result.failed("reach", subject.key, Fault.INFRASTRUCTURE, sentence)
    return Result.passed("reach", subject.key, "is ready")


def check_model(session: Session) -> Iterator[Result]:
    """Whether the model files that are served are the bundles'."""
    listed = list_sha256(session.target)
    for subject in session.testable():
        if subject.bundle is None:
            yield Result.skipped("model", subject.key, "the bundle cannot be read")
            continue
        result = served_model(session.target, subject, listed)
        subject.served_sha256 = next(iter(result.evidence.get("stated", {}).values()), "")
        yield result


def list_sha256(target: Target) -> dict[str, str] | CallError:
    """name:version -> sha256 of what DigitService lists."""
    try:
        return {f"{one.name}:{one.version}": one.sha256 for one in target.list_models()}
    except CallError as error:
        return error


def served_model(
    target: Target, subject: Subject, listed: dict[str, str] | CallError, check: str = "model"
) -> Result:
    """Hold the sha256 that one address states, by both APIs, against the bundle's."""
    expected = subject.manifest.model_sha256
    try:
        properties = target.metadata(subject.name, subject.version).properties
    except CallError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            sentence = f"{target.address} does not know {subject.key}"
            return Result.failed(check, subject.key, Fault.PARITY, sentence)
        return Result.error(check, subject.key, f"ModelMetadata of {subject.key}: {error}")
    stated: dict[str, str] = {}
    if SHA256_PROPERTY in properties:
        stated["ModelMetadata"] = properties[SHA256_PROPERTY]
    if isinstance(listed, dict):
        stated["ListModels"] = listed.get(subject.key, "not listed")
    elif listed.code is not grpc.StatusCode.UNIMPLEMENTED:
        return Result.error(check, subject.key, f"ListModels: {listed}")
    if not stated:
        return Result.not_offered(check, subject.key, "the target states no sha256 of its models")
    wrong = {road: actual for road, actual in stated.items() if actual != expected}
    if wrong:
        road, actual = next(iter(wrong.items()))
        return Result.failed(
            check,
            subject.key,
            Fault.PARITY,
            f"{target.address} serves another {subject.key}: its sha256 is {actual} "
            f"by {road}, the bundle's {expected}",
            expected=expected,
            stated=stated,
        )
    sentence = f"sha256 {expected[:12]}… is the bundle's"
    return Result.passed(check, subject.key, sentence, stated=stated)
