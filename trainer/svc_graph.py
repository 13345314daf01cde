"""An SVC as an ONNX graph of standard operators that gives libsvm's label on every image.

Registered as a converter with skl2onnx, whose own emits `SVMClassifier`: that computes in float32
and breaks ties otherwise than libsvm, so that labels differ on near-ties.
Here instead

- the product with the support vectors is one of integers, and exact (`trainer.svc_kernel`);
- kernel, coefficients and decision values are float64;
- a row beyond those of the 45 pairs has the decision value 1 on every image: what is added to each
  image's votes is one more row of a product;
- there are two votes, as in libsvm and scikit-learn: `digit` counts a decision value of exactly
  zero for the later class (svm_predict_values: `dec > 0`), `scores` for the earlier one
  (sklearn.utils.multiclass._ovr_decision_function: `dec >= 0`). A wide gamma makes such zeros.

Sources: Chang and Lin, "LIBSVM", 2011, section 7 (one against one); scikit-learn's
`SVC.decision_function` with `decision_function_shape="ovr"`.
"""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, UInt8TensorType
from sklearn.svm import SVC

from gurmukhi.image import SIDE
from gurmukhi.labels import CLASS_COUNT
from trainer.doubt import Doubt
from trainer.graph_nodes import OPSET, Nodes
from trainer.svc_hyperplanes import add_hyperplanes
from trainer.svc_kernel import add_kernel
from trainer.svm import FittedSVM, pair_weights

_ALIAS: Final = "GurmukhiSVC"
_PAIRS: Final = list(combinations(range(CLASS_COUNT), 2))  # (45,) in libsvm's order


class _ExactSVC(SVC):  # type: ignore[misc]  # scikit-learn ships no annotations
    """An SVC by another name: skl2onnx's own converter of SVC stays as it is."""


def export_svc(
    fitted: FittedSVM, slopes: Sequence[float] | None = None, doubt: Doubt | None = None
) -> onnx.ModelProto:
    """Convert an SVC: `pixels` UINT8 in, `digit` and `scores` out.

    With the slopes of votes and of sums of decision values there are `probabilities` too, and with
    a doubt they are all alike for what is no digit.
    Raises ValueError where a support vector is not bilevel.
    """
    outputs: dict[str, Any] = {
        "digit": Int64TensorType([None]),
        "scores": FloatTensorType([None, CLASS_COUNT]),
    }
    if slopes is not None:
        outputs["probabilities"] = FloatTensorType([None, CLASS_COUNT])
    update_registered_converter(
        _ExactSVC,
        _ALIAS,
        partial(_infer_shapes, outputs),
        partial(_convert, fitted, slopes, doubt),
        overwrite=True,
        parser=partial(_declare_outputs, outputs),
    )
    exact = _ExactSVC()
    exact.__dict__.update(fitted.machine.__dict__)
    model: onnx.ModelProto = convert_sklearn(
        exact,
        name="svc",
        initial_types=[("pixels", UInt8TensorType([None, SIDE, SIDE]))],
        target_opset=OPSET,
    )
    return model


def _declare_outputs(
    outputs: dict[str, Any], scope: Any, machine: SVC, inputs: Any, custom_parsers: Any = None
) -> Any:
    operator = scope.declare_local_operator(_ALIAS, machine)
    operator.inputs = inputs
    for name, tensor in outputs.items():
        operator.outputs.append(scope.declare_local_variable(name, tensor))
    return operator.outputs


def _infer_shapes(outputs: dict[str, Any], operator: Any) -> None:
    for variable, tensor in zip(operator.outputs, outputs.values(), strict=True):
        variable.type = tensor


def _convert(
    fitted: FittedSVM,
    slopes: Sequence[float] | None,
    doubt: Doubt | None,
    scope: Any,
    operator: Any,
    container: Any,
) -> None:
    machine = fitted.machine
    nodes = Nodes(scope, container)
    pixels = operator.inputs[0].full_name  # (N, 32, 32)
    if machine.kernel == "linear":
        decisions = add_hyperplanes(nodes, fitted, pair_weights(machine), pixels)
    else:
        kernel, factor = add_kernel(nodes, fitted, pixels)
        weights = _spread_weights(nodes, machine, factor)
        intercept = nodes.constant("intercept", np.append(machine.intercept_, 1.0)[:, None])
        # This way round onnxruntime rearranges the kernel values at each run, not the weights.
        decisions = nodes.add("Gemm", weights, kernel, intercept, transB=1)  # (46, N)
    digit, scores, *probabilities = (output.full_name for output in operator.outputs)
    _vote(nodes, decisions, digit)
    single = nodes.add("Cast", decisions, to=TensorProto.FLOAT)
    won, sums = _score(nodes, decisions, single, scores)
    if slopes is not None:
        trust = None if doubt is None else _trust(nodes, single, doubt)
        _calibrate(nodes, won, sums, slopes, trust, *probabilities)


def _spread_weights(nodes: Nodes, machine: SVC, factor: float) -> str:
    """(46, support vectors) of pair weights times a factor, spread from the 9 that a vector has.

    The graph spreads them, from constants alone, as it unpacks the vectors.
    """
    none = CLASS_COUNT - 1  # the place of a tenth coefficient, zero, for all other pairs
    places = np.full((len(_PAIRS) + 1, CLASS_COUNT), none, dtype=np.int64)
    for pair, (first, second) in enumerate(_PAIRS):
        places[pair, first], places[pair, second] = second - 1, first
    classes = np.repeat(np.arange(CLASS_COUNT, dtype=np.uint8), machine.n_support_)
    coefficients = np.pad(machine.dual_coef_ * factor, ((0, 1), (0, 0)))  # (10, support vectors)
    indices = nodes.add("Cast", nodes.constant("classes", classes), to=TensorProto.INT32)
    indices = nodes.add("Gather", nodes.constant("places", places), indices, axis=1)
    return nodes.add(
        "GatherElements", nodes.constant("coefficients", coefficients), indices, axis=0
    )


def _vote(nodes: Nodes, decisions: str, digit: str) -> None:
    """The class with the most votes, the first of equals; `dec > 0` votes for the earlier class."""
    won = nodes.add("Greater", decisions, nodes.number("zero", 0.0))
    won = nodes.add("Cast", won, to=TensorProto.FLOAT)
    votes = nodes.add("Gemm", won, nodes.constant("votes", _pair_votes()), transA=1)
    nodes.add("ArgMax", votes, output=digit, axis=1, keepdims=0)


def _score(nodes: Nodes, decisions: str, single: str, scores: str) -> tuple[str, str]:
    """scikit-learn's one-vs-rest value: votes, and confidences squeezed into ±1/3.

    `single` are the decision values as float32, precise enough for all but the votes.
    A sum s of decision values is squeezed to s / (3 (|s| + 1)), a third of its softsign.
    Returns 1 or 0 (46, N) for the pairs won and lost, and the sums (N, 10).
    """
    won = nodes.add("GreaterOrEqual", decisions, nodes.number("zero", 0.0))
    # Where() would give numbers at once, and takes several times as long as the two.
    won = nodes.add("Cast", won, to=TensorProto.FLOAT)
    sums = nodes.add("Gemm", single, nodes.constant("pairs", _pair_signs()), transA=1)
    squeezed = nodes.add("Softsign", sums)
    votes = nodes.constant("votes", _pair_votes())
    nodes.add("Gemm", won, votes, squeezed, output=scores, transA=1, beta=1 / 3)
    return won, sums


def _trust(nodes: Nodes, single: str, doubt: Doubt) -> str:
    """(N, 1) float32, how likely the picture is a digit."""
    layers = (
        (np.pad(doubt.weights, ((0, 1), (0, 0))), doubt.biases),
        (doubt.out_weights, np.array([doubt.out_bias])),
    )
    values = single
    for (weights, biases), activation in zip(layers, ("Relu", "Sigmoid"), strict=True):
        values = nodes.add(
            "Gemm",
            values,
            nodes.constant("doubt_weights", weights.astype(np.float32)),
            nodes.constant("doubt_biases", biases.astype(np.float32)),
            transA=int(values is single),
        )
        values = nodes.add(activation, values)
    return values


def _calibrate(
    nodes: Nodes,
    won: str,
    sums: str,
    slopes: Sequence[float],
    trust: str | None,
    probabilities: str,
) -> None:
    """The softmax of votes and sums, each times its slope.

    With trust t in the picture, t of it and of one tenth the rest.
    """
    votes_slope, sums_slope = slopes
    votes = nodes.constant("votes", _pair_votes())
    logits = nodes.add("Gemm", won, votes, sums, transA=1, alpha=votes_slope, beta=sums_slope)
    if trust is None:
        nodes.add("Softmax", logits, output=probabilities, axis=1)
        return
    tenth = nodes.constant("tenth", np.array(1 / CLASS_COUNT, dtype=np.float32))
    above = nodes.add("Sub", nodes.add("Softmax", logits, axis=1), tenth)
    nodes.add("Add", nodes.add("Mul", above, trust), tenth, output=probabilities)


def _pair_signs() -> NDArray[np.float32]:
    """(46, 10): +1 where a class is the pair's first, −1 where its second; the last row is zero."""
    signs = np.zeros((len(_PAIRS) + 1, CLASS_COUNT), dtype=np.float32)
    for pair, (first, second) in enumerate(_PAIRS):
        signs[pair, first], signs[pair, second] = 1, -1
    return signs


def _pair_votes() -> NDArray[np.float32]:
    """(46, 10) that make votes of 1 for a pair won and 0 for a pair lost.

    A second class has a vote less for a pair lost to the first. Of its 9 pairs a class is the
    second in as many as there are classes before it; those votes are given by the row always won.
    """
    votes = _pair_signs()
    votes[-1] = np.arange(CLASS_COUNT)
    return votes
