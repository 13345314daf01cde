"""The gate between training and serving: the graph must say what the model said."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gurmukhi.errors import ParityError
from trainer.model import Answers, Model

# Of probabilities: what the tolerance of log-probabilities comes to at most.
_SHARE_TOLERANCE: Final = 1e-4
_CHUNK: Final = 512  # images in one run of the graph
_NAMED: Final = 5  # images named in an error


@dataclass(frozen=True, slots=True)
class Parity:
    """What the gate saw."""

    images: int
    max_score_difference: float
    tolerance: float
    near_ties: tuple[str, ...]  # images on which two best scores lie within rounding


def check_parity(
    graph: bytes, model: Model, named_images: dict[str, NDArray[np.uint8]]
) -> tuple[Parity, dict[str, Answers]]:
    """Run the graph on every set of (N, 32, 32) images beside the native model.

    Returns what was seen, and the native answers by set. Raises ParityError naming images whose
    label differs or whose scores differ by more than the model's tolerance.
    """
    session = open_session(graph)
    answers: dict[str, Answers] = {}
    near_ties: list[str] = []
    worst = 0.0
    for name, images in named_images.items():
        native = answers[name] = model.answer(images)
        exported = run_graph(session, images)
        differences = np.abs(native.scores - exported.scores).max(axis=1)
        worst = max(worst, float(differences.max()))
        scores_differ = ~(differences <= model.score_tolerance)  # so that NaN fails too
        _refuse(name, scores_differ, "scores differ by", differences)
        if native.probabilities is not None and exported.probabilities is not None:
            shares = np.abs(native.probabilities - exported.probabilities).max(axis=1)
            _refuse(name, ~(shares <= _SHARE_TOLERANCE), "probabilities differ by", shares)
        wrong = native.digits != exported.digits
        tied = wrong & (_margins(native.scores) < model.near_tie_margin)
        near_ties += [f"{name}[{index}]" for index in np.flatnonzero(tied)]
        _refuse(name, wrong & ~tied, "the label became", exported.digits)
    count = sum(len(images) for images in named_images.values())
    return Parity(count, worst, model.score_tolerance, tuple(near_ties)), answers


def run_graph(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> Answers:
    """Classify (N, 32, 32) images by an ONNX graph, in chunks."""
    names = [output.name for output in session.get_outputs()]
    parts = [
        session.run(names, {"pixels": images[start : start + _CHUNK]})
        for start in range(0, len(images), _CHUNK)
    ]
    values = {
        name: np.concatenate(arrays)
        for name, arrays in zip(names, zip(*parts, strict=True), strict=True)
    }
    return Answers(values["digit"], values["scores"], values.get("probabilities"))


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # as it will be served
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _margins(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    second, best = np.partition(scores, -2, axis=1)[:, -2:].T
    return np.asarray(best - second)


def _refuse(name: str, failed: NDArray[np.bool_], what: str, values: NDArray[Any]) -> None:
    indices = np.flatnonzero(failed)
    if not len(indices):
        return
    shown = ", ".join(f"{name}[{i}] ({what} {values[i]:.6g})" for i in indices[:_NAMED])
    more = f" and {len(indices) - _NAMED} more" if len(indices) > _NAMED else ""
    raise ParityError(
        f"the exported graph differs from the native model on {len(indices)} of {len(failed)} "
        f"{name} images: {shown}{more}"
    )
