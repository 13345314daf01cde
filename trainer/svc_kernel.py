"""Kernel values of an SVC in a graph: one exact integer product against its support vectors.

Pixels stay integers. Under the view "pixels" x = pixel / 127.5 − 1 and support vectors are ±1;
under "blurred" x = blurred / 64 − 1 for both, and the graph blurs the support vectors as it blurs
the image. Either way the vectors are stored as bits.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.svm import SVC

from gurmukhi.image import INK, PAPER, SIDE
from trainer import blur
from trainer.graph_nodes import Nodes
from trainer.svm import FittedSVM, View

_HALF_RANGE: Final = 127.5  # of the view "pixels"
# e^−700 is a normal float64, and its square is zero.
_LEAST_EXPONENT: Final = -700.0


def add_kernel(nodes: Nodes, fitted: FittedSVM, pixels: str) -> tuple[str, float]:
    """(N, support vectors) float64 of pixels (N, 32, 32), and what makes kernel values of them.

    Raises ValueError where a support vector is not bilevel, or is smoothed.
    """
    if fitted.view == "smoothed":
        raise ValueError("smoothed support vectors are no whole numbers, and have no exact product")
    if not np.isin(fitted.vectors, (INK, PAPER)).all():
        raise ValueError("a support vector is not bilevel, and cannot be stored as bits")
    machine = fitted.machine
    view = _Blurred(nodes, pixels) if fitted.view == "blurred" else _Scaled(nodes, pixels)
    dot = view.dot(fitted.vectors)
    gamma = float(machine._gamma) / view.scale  # the number that "scale" stood for
    if machine.kernel == "rbf":
        return _rbf(nodes, view, machine, dot, gamma), 1.0
    if machine.kernel == "poly" and not machine.coef0:
        return _power(nodes, dot, machine.degree), gamma**machine.degree
    inner = nodes.add("Mul", dot, nodes.number("gamma", gamma))
    if machine.coef0:
        inner = nodes.add("Add", inner, nodes.number("coef0", machine.coef0))
    if machine.kernel == "sigmoid":
        return nodes.add("Tanh", inner), 1.0
    return _power(nodes, inner, machine.degree), 1.0


def add_integers(nodes: Nodes, view: View, pixels: str) -> tuple[str, float]:
    """What is multiplied: (N, 1024) UINT8 z, and h of x = z / h − 1."""
    if view == "blurred":
        return _Blurred(nodes, pixels).blurred, float(blur.HALF_RANGE)
    return nodes.add("Flatten", pixels, axis=1), _HALF_RANGE


class _Scaled:
    """127.5 x = pixel − 127.5; whole multiples of 127.5 for bilevel images."""

    scale = _HALF_RANGE

    def __init__(self, nodes: Nodes, pixels: str) -> None:
        self._nodes = nodes
        self._pixels = nodes.add("Flatten", pixels, axis=1)  # (N, 1024)

    def dot(self, vectors: NDArray[np.uint8]) -> str:
        """(N, support vectors) of 127.5 x · s, float64."""
        nodes = self._nodes
        bits = nodes.add("Flatten", _unpacked_bits(nodes, vectors), axis=1)
        bits = nodes.add("Cast", bits, to=TensorProto.INT32)
        doubled = nodes.add("Add", bits, bits)
        signs = nodes.add("Sub", doubled, nodes.constant("one", np.array(1, np.int32)))
        signs = nodes.add("Cast", signs, to=TensorProto.INT8)
        product = nodes.add(
            "MatMulInteger", self._pixels, nodes.add("Transpose", signs, perm=[1, 0])
        )
        product = nodes.add("Cast", product, to=TensorProto.DOUBLE)
        sums = _HALF_RANGE * np.where(vectors == PAPER, 1.0, -1.0).sum(axis=(1, 2))
        return nodes.add("Sub", product, nodes.constant("vector_sums", sums))

    def square(self) -> str:
        """(N, 1) of 127.5 x · x, float64."""
        nodes = self._nodes
        values = nodes.add("Cast", self._pixels, to=TensorProto.DOUBLE)
        half_range = nodes.number("half_range", _HALF_RANGE)
        square = _square(nodes, nodes.add("Sub", values, half_range))
        return nodes.add("Div", square, half_range)


class _Blurred:
    """64 x = blurred − 64, whole numbers; see `trainer.blur`."""

    scale = float(blur.HALF_RANGE**2)

    def __init__(self, nodes: Nodes, pixels: str) -> None:
        self._nodes = nodes
        matrix = blur.blur_matrix().astype(np.float32)
        paper = blur.SCALE * PAPER * matrix.sum(axis=1)[:, None] * matrix.sum(axis=1)
        self._matrix = matrix
        self._across = nodes.constant("across", np.ascontiguousarray(matrix.T))
        self._paper = nodes.constant("paper", paper.astype(np.float32))
        # (N, 1024) UINT8
        self.blurred = self._blur(pixels, 1, TensorProto.UINT8)

    def dot(self, vectors: NDArray[np.uint8]) -> str:
        """(N, support vectors) of 64² x · s, float64."""
        nodes = self._nodes
        shape = nodes.constant("frames", np.array([-1, SIDE, SIDE], dtype=np.int64))
        bits = nodes.add("Reshape", _unpacked_bits(nodes, vectors), shape)
        seen = self._blur(bits, PAPER, TensorProto.INT8)
        columns = nodes.add("Transpose", seen, perm=[1, 0])
        image_zero = nodes.constant("image_zero_point", np.array(blur.HALF_RANGE, np.uint8))
        vector_zero = nodes.constant("vector_zero_point", np.array(blur.HALF_RANGE, np.int8))
        product = nodes.add("MatMulInteger", self.blurred, columns, image_zero, vector_zero)
        return nodes.add("Cast", product, to=TensorProto.DOUBLE)

    def square(self) -> str:
        """(N, 1) of 64² x · x, float64."""
        nodes = self._nodes
        values = nodes.add("Cast", self.blurred, to=TensorProto.DOUBLE)
        half_range = nodes.number("half_range", blur.HALF_RANGE)
        return _square(nodes, nodes.add("Sub", values, half_range))

    def _blur(self, pixels: str, white: int, integer_type: int) -> str:
        """(M, 1024) integers of (M, 32, 32) pixels, as `blur_ink`: no sum is rounded.

        `white` is what a pixel of 1 stands for. Values of 0 to 127 fit INT8 as well as UINT8.
        """
        nodes = self._nodes
        down = (self._matrix * blur.SCALE * white).astype(np.float32)
        rows = nodes.add("Cast", pixels, to=TensorProto.FLOAT)
        rows = nodes.add("MatMul", nodes.constant("down", down), rows)
        ink = nodes.add("Sub", self._paper, nodes.add("MatMul", rows, self._across))
        return nodes.add("Flatten", nodes.add("Cast", ink, to=integer_type), axis=1)


def _unpacked_bits(nodes: Nodes, vectors: NDArray[np.uint8]) -> str:
    """(support vectors, 128, 8) BOOL, true for paper, unpacked from bits.

    It depends on constants alone, so a runtime computes it once, when it loads the graph.
    """
    bits = np.packbits(vectors.reshape(len(vectors), -1) > 0, axis=1)[:, :, None]  # (…, 128, 1)
    places = 1 << np.arange(7, -1, -1, dtype=np.uint8)  # packbits puts the first pixel highest
    unpacked = nodes.add(
        "BitwiseAnd", nodes.constant("vector_bits", bits), nodes.constant("places", places)
    )
    return nodes.add("Cast", unpacked, to=TensorProto.BOOL)


def _square(nodes: Nodes, values: str) -> str:
    axis = nodes.constant("axis", np.array([1], dtype=np.int64))
    return nodes.add("ReduceSumSquare", values, axis, keepdims=1)


def _rbf(nodes: Nodes, view: "_Scaled | _Blurred", machine: SVC, dot: str, gamma: float) -> str:
    """exp(−γ |x − s|²), with |x − s|² = |x|² + |s|² − 2 x·s; exact for bilevel images."""
    squares = np.square(machine.support_vectors_).sum(axis=1) * view.scale
    if len(set(squares)) == 1:
        squares = squares[0]
    square = nodes.add("Add", view.square(), nodes.constant("vector_squares", np.asarray(squares)))
    distance = nodes.add("Sub", square, nodes.add("Add", dot, dot))
    largest = 4 * SIDE * SIDE * view.scale
    if gamma * largest < -_LEAST_EXPONENT:
        return nodes.add("Exp", nodes.add("Mul", distance, nodes.number("gamma", -gamma)))
    # exp() of what is no normal number takes five times as long. Its square root is one as far as
    # the bound, and the square of anything at the bound is zero, as libsvm's exp() is there.
    exponent = nodes.add("Mul", distance, nodes.number("gamma", -gamma / 2))
    exponent = nodes.add("Max", exponent, nodes.number("least_exponent", _LEAST_EXPONENT))
    root = nodes.add("Exp", exponent)
    return nodes.add("Mul", root, root)


def _power(nodes: Nodes, base: str, degree: int) -> str:
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
