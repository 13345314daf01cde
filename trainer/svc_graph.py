"""An SVC as an ONNX graph of standard operators that gives libsvm's label on every image.

Registered as a converter with skl2onnx, whose own emits `SVMClassifier`: that computes in float32
and breaks ties otherwise than libsvm, so that labels differ on near-ties.
Here instead

- pixels stay integers: with support vectors of ±1 the dot product is one exact `MatMulInteger`,
  and the vectors are stored as bits;
- kernel, coefficients and decision values are float64;
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

_OPSET: Final = 21
_ALIAS: Final = "GurmukhiSVC"
_PAIRS: Final = list(combinations(range(CLASS_COUNT), 2))  # (45,) in libsvm's order
# The scaling that the machines are fitted under: x = pixel / 127.5 − 1.
_HALF_RANGE: Final = 127.5
# e^−700 is a normal float64, and its square is zero.
_LEAST_EXPONENT: Final = -700.0


class _ExactSVC(SVC):  # type: ignore[misc]  # scikit-learn ships no annotations
    """An SVC by another name: skl2onnx's own converter of SVC stays as it is."""


def export_svc(machine: SVC, slopes: Sequence[float] | None = None) -> onnx.ModelProto:
    """Convert an SVC fitted on scaled ±1 pixels: `pixels` UINT8 in, `digit` and `scores` out.

    With the slopes of votes and of sums of decision values there are `probabilities` too.
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
        partial(_convert, slopes),
        overwrite=True,
        parser=partial(_declare_outputs, outputs),
    )
    exact = _ExactSVC()
    exact.__dict__.update(machine.__dict__)
    model: onnx.ModelProto = convert_sklearn(
        exact,
        name="svc",
        initial_types=[("pixels", UInt8TensorType([None, SIDE, SIDE]))],
        target_opset=_OPSET,
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


class _Nodes:
    """Adds nodes to skl2onnx's container, each by the name of its operator."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def add(self, op_type: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        result = output or self._scope.get_unique_variable_name(op_type.lower())
        self._container.add_node(
            op_type,
            list(inputs),
            [result],
            op_version=_OPSET,
            name=self._scope.get_unique_operator_name(op_type),
            **attributes,
        )
        return str(result)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        unique = self._scope.get_unique_variable_name(name)
        self._container.initializers.append(onnx.numpy_helper.from_array(array, unique))
        return str(unique)

    def number(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, dtype=np.float64))


def _convert(slopes: Sequence[float] | None, scope: Any, operator: Any, container: Any) -> None:
    machine: SVC = operator.raw_operator
    nodes = _Nodes(scope, container)
    pixels = nodes.add("Flatten", operator.inputs[0].full_name, axis=1)  # (N, 1024)
    if machine.kernel == "linear":
        decisions = _linear_decisions(nodes, machine, pixels)
    else:
        kernel, weights = _kernel(nodes, machine, pixels), _spread_weights(nodes, machine)
        intercept = nodes.constant("intercept", machine.intercept_.astype(np.float64))
        decisions = nodes.add("Gemm", kernel, weights, intercept)  # (N, 45)
    digit, scores, *probabilities = (output.full_name for output in operator.outputs)
    _vote(nodes, decisions, digit)
    won, sums = _score(nodes, decisions, scores)
    if slopes is not None:
        _calibrate(nodes, won, sums, slopes, *probabilities)


def _pair_weights(machine: SVC) -> NDArray[np.float64]:
    """(support vectors, 45): each pair's coefficients, zero for vectors of other classes."""
    stops = np.cumsum(machine.n_support_)
    starts = stops - machine.n_support_
    weights = np.zeros((stops[-1], len(_PAIRS)))
    for pair, (first, second) in enumerate(_PAIRS):
        # dual_coef_ has a row for each other class, its own left out.
        for label, row in ((first, second - 1), (second, first)):
            own = slice(starts[label], stops[label])
            weights[own, pair] = machine.dual_coef_[row, own]
    return weights


def _spread_weights(nodes: _Nodes, machine: SVC) -> str:
    """The pair weights, spread by the graph from the 9 coefficients that a vector has.

    It depends on constants alone, as the unpacked vectors do.
    """
    none = CLASS_COUNT - 1  # the place of a tenth coefficient, zero, for all other pairs
    places = np.full((CLASS_COUNT, len(_PAIRS)), none, dtype=np.int64)
    for pair, (first, second) in enumerate(_PAIRS):
        places[first, pair], places[second, pair] = second - 1, first
    classes = np.repeat(np.arange(CLASS_COUNT, dtype=np.uint8), machine.n_support_)
    coefficients = np.pad(machine.dual_coef_.T, ((0, 0), (0, 1)))  # (support vectors, 10)
    indices = nodes.add("Cast", nodes.constant("classes", classes), to=TensorProto.INT32)
    indices = nodes.add("Gather", nodes.constant("places", places), indices, axis=0)
    return nodes.add(
        "GatherElements", nodes.constant("coefficients", coefficients), indices, axis=1
    )


def _linear_decisions(nodes: _Nodes, machine: SVC, pixels: str) -> str:
    """The 45 hyperplanes at once, over pixels as they are; no support vector is kept."""
    hyperplanes = machine.support_vectors_.T @ _pair_weights(machine)  # (1024, 45)
    intercept = machine.intercept_ - hyperplanes.sum(axis=0)
    return nodes.add(
        "Gemm",
        nodes.add("Cast", pixels, to=TensorProto.DOUBLE),
        nodes.constant("hyperplanes", hyperplanes / _HALF_RANGE),
        nodes.constant("intercept", intercept),
    )


def _kernel(nodes: _Nodes, machine: SVC, pixels: str) -> str:
    """(N, support vectors) float64 kernel values."""
    vectors = machine.support_vectors_
    if not (np.abs(vectors) == 1).all():
        raise ValueError("a support vector is not bilevel, and cannot be stored as bits")
    product = nodes.add("MatMulInteger", pixels, _unpacked_vectors(nodes, vectors))
    product = nodes.add("Cast", product, to=TensorProto.DOUBLE)
    product = nodes.add("Div", product, nodes.number("half_range", _HALF_RANGE))
    dot = nodes.add("Sub", product, nodes.constant("vector_sums", vectors.sum(axis=1)))
    gamma = float(machine._gamma)  # the number that "scale" stood for
    if machine.kernel == "rbf":
        return _rbf(nodes, pixels, dot, gamma)
    inner = nodes.add("Mul", dot, nodes.number("gamma", gamma))
    if machine.coef0:
        inner = nodes.add("Add", inner, nodes.number("coef0", machine.coef0))
    if machine.kernel == "sigmoid":
        return nodes.add("Tanh", inner)
    return _power(nodes, inner, machine.degree)


def _unpacked_vectors(nodes: _Nodes, vectors: NDArray[np.float64]) -> str:
    """(1024, support vectors) INT8 of ±1, unpacked from bits.

    It depends on constants alone, so a runtime computes it once, when it loads the graph.
    """
    bits = np.packbits(vectors > 0, axis=1)[:, :, None]  # (support vectors, 128, 1)
    shifts = np.arange(7, -1, -1, dtype=np.uint8)  # packbits puts the first pixel highest
    unpacked = nodes.add(
        "BitShift",
        nodes.constant("vector_bits", bits),
        nodes.constant("shifts", shifts),
        direction="RIGHT",
    )
    unpacked = nodes.add("BitwiseAnd", unpacked, nodes.constant("bit", np.array(1, np.uint8)))
    unpacked = nodes.add("Cast", unpacked, to=TensorProto.INT32)
    doubled = nodes.add("Add", unpacked, unpacked)
    signs = nodes.add("Sub", doubled, nodes.constant("one", np.array(1, np.int32)))
    signs = nodes.add("Cast", signs, to=TensorProto.INT8)
    signs = nodes.add("Flatten", signs, axis=1)
    return nodes.add("Transpose", signs, perm=[1, 0])


def _rbf(nodes: _Nodes, pixels: str, dot: str, gamma: float) -> str:
    """exp(−γ |x − s|²), with |x − s|² = |x|² + |s|² − 2 x·s; whole numbers for bilevel images."""
    scaled = nodes.add("Cast", pixels, to=TensorProto.DOUBLE)
    scaled = nodes.add("Div", scaled, nodes.number("half_range", _HALF_RANGE))
    scaled = nodes.add("Sub", scaled, nodes.number("one", 1.0))
    axis = nodes.constant("axis", np.array([1], dtype=np.int64))
    square = nodes.add("ReduceSumSquare", scaled, axis, keepdims=1)  # (N, 1)
    square = nodes.add("Add", square, nodes.number("vector_square", float(SIDE * SIDE)))
    distance = nodes.add("Sub", square, nodes.add("Add", dot, dot))
    if gamma * 4 * SIDE * SIDE < -_LEAST_EXPONENT:  # at the largest distance that there is
        return nodes.add("Exp", nodes.add("Mul", distance, nodes.number("gamma", -gamma)))
    # exp() of what is no normal number takes five times as long. Its square root is one as far as
    # the bound, and the square of anything at the bound is zero, as libsvm's exp() is there.
    exponent = nodes.add("Mul", distance, nodes.number("gamma", -gamma / 2))
    exponent = nodes.add("Max", exponent, nodes.number("least_exponent", _LEAST_EXPONENT))
    root = nodes.add("Exp", exponent)
    return nodes.add("Mul", root, root)


def _power(nodes: _Nodes, base: str, degree: int) -> str:
    """base to the power of `degree`, multiplied in the order of libsvm's powi."""
    result: str | None = None
    while degree:
        if degree % 2:
            result = base if result is None else nodes.add("Mul", result, base)
        degree //= 2
        if degree:
            base = nodes.add("Mul", base, base)
    if result is None:
        raise ValueError("a poly kernel of degree 0 is constant")
    return result


def _vote(nodes: _Nodes, decisions: str, digit: str) -> None:
    """The class with the most votes, the first of equals; `dec > 0` votes for the earlier class."""
    won = nodes.add("Greater", decisions, nodes.number("zero", 0.0))
    surplus = nodes.add("MatMul", _plus_minus(nodes, won), nodes.constant("pairs", _pair_signs()))
    nodes.add("ArgMax", surplus, output=digit, axis=1, keepdims=0)


def _score(nodes: _Nodes, decisions: str, scores: str) -> tuple[str, str]:
    """scikit-learn's one-vs-rest value: votes, and confidences squeezed into ±1/3.

    A sum s of decision values is squeezed to s / (3 (|s| + 1)), a third of its softsign.
    Returns ±1 (N, 45) for the pairs won and lost, and the sums (N, 10).
    """
    won = nodes.add("GreaterOrEqual", decisions, nodes.number("zero", 0.0))
    won = _plus_minus(nodes, won)
    pairs = nodes.constant("pairs", _pair_signs().astype(np.float64))
    sums = nodes.add("Cast", nodes.add("MatMul", decisions, pairs), to=TensorProto.FLOAT)
    total = nodes.add(
        "Gemm",
        won,
        nodes.constant("pairs", _pair_signs()),
        nodes.add("Softsign", sums),
        alpha=0.5,
        beta=1 / 3,
    )
    # Of its 9 pairs a class wins half of 9 more than it has surplus.
    half = nodes.constant("half_pairs", np.array((CLASS_COUNT - 1) / 2, dtype=np.float32))
    nodes.add("Add", total, half, output=scores)
    return won, sums


def _calibrate(
    nodes: _Nodes, won: str, sums: str, slopes: Sequence[float], probabilities: str
) -> None:
    """The softmax of votes and sums, each times its slope; it needs no votes that all have."""
    votes_slope, sums_slope = slopes
    pairs = nodes.constant("pairs", _pair_signs())
    logits = nodes.add("Gemm", won, pairs, sums, alpha=votes_slope / 2, beta=sums_slope)
    nodes.add("Softmax", logits, output=probabilities, axis=1)


def _plus_minus(nodes: _Nodes, won: str) -> str:
    """(N, 45) float32, +1 where a pair's first class wins and −1 where its second does."""
    one = nodes.constant("one", np.array(1, dtype=np.float32))
    return nodes.add("Where", won, one, nodes.constant("minus_one", np.array(-1, dtype=np.float32)))


def _pair_signs() -> NDArray[np.float32]:
    """(45, 10): +1 where a class is the pair's first, −1 where it is its second."""
    signs = np.zeros((len(_PAIRS), CLASS_COUNT), dtype=np.float32)
    for pair, (first, second) in enumerate(_PAIRS):
        signs[pair, first], signs[pair, second] = 1, -1
    return signs
