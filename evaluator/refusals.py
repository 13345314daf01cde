"""Check that wrong requests are refused with the codes that the protocol and the design name."""

from collections.abc import Callable, Iterator
from typing import Final

import grpc
import numpy as np

from evaluator.results import Fault, Result
from evaluator.session import Session, Subject
from evaluator.target import Target
from evaluator.wire import AnswerError, infer_request
from gurmukhi.errors import CallError
from gurmukhi.image import SIDE
from gurmukhi.inference import open_inference_grpc_pb2 as pb

Damage = Callable[[pb.ModelInferRequest], None]

_UNKNOWN: Final = "no-such-model"
_UNKNOWN_VERSION: Final = "999999999"
_INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
_NOT_FOUND: Final = grpc.StatusCode.NOT_FOUND
# A failure of the target says nothing of the request.
_FAILURES: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


def check_refusals(session: Session) -> Iterator[Result]:
    """Whether each kind of wrong request gets its code, and a right one is answered after."""
    subjects = session.testable()
    if not subjects:
        yield Result.skipped("refusals", session.target.address, "no version can be asked")
        return
    subject, target = subjects[0], session.target
    if target.calls.lost:
        # Its codes would say that it fails, not what it thinks of a request.
        yield Result.skipped("refusals", target.address, "the target loses calls")
        return
    wrong, is_ours = [], False
    for what, expected, code in _outcomes(target, subject):
        if code in _FAILURES:
            yield Result.error("refusals", target.address, f"{what}: the call failed, {code.name}")
            return
        is_ours = is_ours or what.startswith("Classify")
        if code is not expected:
            wrong.append(f"{what}: {code.name}, expected {expected.name}")
    if wrong:
        sentence = f"{target.address} answers wrong requests otherwise: {'; '.join(wrong)}"
        if not is_ours and not session.settings.exact_metrics:
            # Open Inference names no codes; they are a promise of our own servers.
            yield Result.not_offered("refusals", target.address, sentence)
            return
        yield Result.failed("refusals", target.address, Fault.PARITY, sentence, wrong=wrong)
        return
    try:
        target.infer(subject.name, subject.version, session.split.images[:1])
    except CallError as error:
        yield Result.error("refusals", target.address, f"after wrong requests a right one: {error}")
        return
    except AnswerError as error:
        sentence = f"after wrong requests {target.address} answers a right one: {error}"
        yield Result.failed("refusals", target.address, Fault.PARITY, sentence)
        return
    sentence = "wrong requests get their codes, and a right one is answered after them"
    yield Result.passed("refusals", target.address, sentence)


def _outcomes(
    target: Target, subject: Subject
) -> Iterator[tuple[str, grpc.StatusCode, grpc.StatusCode]]:
    """What was asked, the code it should get, the code it got."""
    blank = np.full((1, SIDE, SIDE), 255, np.uint8)
    for what, expected, damage in _DAMAGES:
        request = infer_request(subject.name, subject.version, blank)
        damage(request)
        yield f"ModelInfer with {what}", expected, target.infer_refused(request)
    small = np.full((SIDE, SIDE), 255, np.uint8)
    code = target.classify_refused(small, _UNKNOWN, "")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return
    yield "Classify by an unknown model", _NOT_FOUND, code
    for what, picture in (
        ("an empty file", b""),
        ("bytes that are no picture", b"no picture"),
    ):
        code = target.classify_refused(picture, subject.name, subject.version)
        yield f"Classify of {what}", _INVALID, code


def _of_unknown_model(request: pb.ModelInferRequest) -> None:
    request.model_name = _UNKNOWN


def _of_unknown_version(request: pb.ModelInferRequest) -> None:
    request.model_version = _UNKNOWN_VERSION


def _without_inputs(request: pb.ModelInferRequest) -> None:
    del request.inputs[:]
    del request.raw_input_contents[:]


def _with_other_input(request: pb.ModelInferRequest) -> None:
    request.inputs[0].name = "picture"


def _with_other_datatype(request: pb.ModelInferRequest) -> None:
    request.inputs[0].datatype = "FP32"
    request.raw_input_contents[0] = bytes(4 * SIDE * SIDE)


def _with_other_shape(request: pb.ModelInferRequest) -> None:
    request.inputs[0].shape[2] = SIDE - 1
    request.raw_input_contents[0] = bytes(SIDE * (SIDE - 1))


def _with_short_contents(request: pb.ModelInferRequest) -> None:
    request.raw_input_contents[0] = request.raw_input_contents[0][:-1]


def _with_unknown_output(request: pb.ModelInferRequest) -> None:
    request.outputs.add(name="no-such-output")


_DAMAGES: Final[tuple[tuple[str, grpc.StatusCode, Damage], ...]] = (
    ("an unknown model", _NOT_FOUND, _of_unknown_model),
    ("an unknown version", _NOT_FOUND, _of_unknown_version),
    ("no input", _INVALID, _without_inputs),
    ("another input's name", _INVALID, _with_other_input),
    ("another datatype", _INVALID, _with_other_datatype),
    ("another shape", _INVALID, _with_other_shape),
    ("contents that are too short", _INVALID, _with_short_contents),
    ("an unknown output", _INVALID, _with_unknown_output),
)
