"""A linear SVC in a graph: its 45 hyperplanes, multiplied as integers.

A float64 product packs its matrix anew in every call, which takes longer than one image's sums. An
integer one is packed once. So each weight is written in seven digits of base 128, from −64 to 63:
to 2⁻⁴⁸ of its hyperplane's largest, less than what libsvm's own sums round off. Products of digits
with pixels are exact, and two of them fit into 16 bits on every processor.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from gurmukhi.image import SIDE
from trainer.blur import smoothing_matrix
from trainer.graph_nodes import Nodes
from trainer.svc_kernel import add_integers
from trainer.svm import FittedSVM

_BASE: Final = 128
_DIGITS: Final = 7
_BITS: Final = 47  # of a weight beside its sign; the highest digit has one to spare


def add_hyperplanes(
    nodes: Nodes, fitted: FittedSVM, weights: NDArray[np.float64], pixels: str
) -> str:
    """(N, 45) float64 decision values; weights (support vectors, 45) are the pairs' coefficients.

    The graph holds no support vector.
    """
    machine = fitted.machine
    normals = machine.support_vectors_.T @ weights  # (1024, 45)
    offset = -normals.sum(axis=0)  # of x = z / h − 1
    if fitted.view == "smoothed":
        normals, offset = _unsmoothed(normals)
    integers, half_range = add_integers(nodes, fitted.view, pixels)
    digits, places = _split(normals / half_range)
    pairs = normals.shape[1]
    product = nodes.add("MatMulInteger", integers, nodes.constant("digits", digits))
    product = nodes.add("Cast", product, to=TensorProto.DOUBLE)
    shape = nodes.constant("shape", np.array([-1, _DIGITS, pairs], dtype=np.int64))
    terms = nodes.add("Mul", nodes.add("Reshape", product, shape), nodes.constant("places", places))
    sums = nodes.add("ReduceSum", terms, nodes.constant("axis", np.array([1])), keepdims=0)
    return nodes.add("Add", sums, nodes.constant("intercept", machine.intercept_ + offset))


def _unsmoothed(
    normals: NDArray[np.float64],  # (1024, 45) of smoothed pixels
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same hyperplanes as ones of pixels (1024, 45), and their offsets (45,).

    With the matrix M and ink u = 255 − z a smoothed x is 1 − M u M / 127.5, and for a normal n
    n · M u M = (M n M) · u.
    """
    matrix = smoothing_matrix()
    frames = normals.T.reshape(-1, SIDE, SIDE)
    folded = (matrix @ frames @ matrix).reshape(len(frames), -1).T
    return folded, normals.sum(axis=0) - 2 * folded.sum(axis=0)


def _split(normals: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """(1024, 7 · 45) digits, the lowest first, and what each is worth (7, 45)."""
    largest = np.abs(normals).max(axis=0, initial=np.finfo(np.float64).tiny)
    unit = 2.0 ** (np.ceil(np.log2(largest)) - _BITS)
    rest = np.rint(normals / unit).astype(np.int64)
    digits = np.empty((len(normals), _DIGITS, len(unit)), dtype=np.int8)
    for place in range(_DIGITS):
        digits[:, place] = (rest + _BASE // 2) % _BASE - _BASE // 2
        rest = (rest - digits[:, place]) // _BASE
    worth = unit * float(_BASE) ** np.arange(_DIGITS)[:, None]
    return digits.reshape(len(normals), -1), worth
