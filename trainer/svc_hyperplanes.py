"""A linear SVC in a graph: its 45 hyperplanes of pixels, in float64.

The weights are the first matrix of the product and the images the second: onnxruntime rearranges
the second anew in every call, and of one image there is little to rearrange.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from gurmukhi.image import SIDE
from trainer.blur import smoothing_matrix
from trainer.graph_nodes import Nodes
from trainer.svc_kernel import add_integers
from trainer.svm import FittedSVM


def add_hyperplanes(
    nodes: Nodes, fitted: FittedSVM, weights: NDArray[np.float64], pixels: str
) -> str:
    """(46, N) float64 decision values; weights (support vectors, 45) are the pairs' coefficients.

    The last row is 1 on every image. The graph holds no support vector.
    """
    machine = fitted.machine
    normals = machine.support_vectors_.T @ weights  # (1024, 45)
    offset = -normals.sum(axis=0)  # of x = z / h − 1
    if fitted.view == "smoothed":
        normals, offset = _unsmoothed(normals)
    integers, half_range = add_integers(nodes, fitted.view, pixels)
    return nodes.add(
        "Gemm",
        nodes.constant("hyperplanes", np.pad(normals.T / half_range, ((0, 1), (0, 0)))),
        nodes.add("Cast", integers, to=TensorProto.DOUBLE),
        nodes.constant("intercept", np.append(machine.intercept_ + offset, 1.0)[:, None]),
        transB=1,
    )


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
