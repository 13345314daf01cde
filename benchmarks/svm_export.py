"""skl2onnx's export of an SVC, as a user would serve it."""

import warnings

import onnx
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.svm import SVC

from gurmukhi.image import PAPER, SIDE


def plain_graph(machine: SVC) -> bytes:
    """The machine as skl2onnx converts it by itself: float32 `pixels` (N, 1024) to labels."""
    return bytes(_converted(machine).SerializeToString())


def served_graph(machine: SVC) -> bytes:
    """The same for what our graphs take: uint8 `pixels` (N, 32, 32) to `digit` and `scores`.

    Its first operators scale the bytes to −1…1, which every caller would have to do else.
    """
    model = _converted(machine)
    graph = model.graph
    label, scores = (output.name for output in graph.output)
    shape = helper.make_tensor("flat", TensorProto.INT64, [2], [-1, SIDE * SIDE])
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [PAPER / 2])
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    before = [
        helper.make_node("Reshape", ["pixels", "flat"], ["bytes"]),
        helper.make_node("Cast", ["bytes"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "half"], ["halves"]),
        helper.make_node("Sub", ["halves", "one"], ["scaled"]),
    ]
    for node in graph.node:
        node.input[:] = ["scaled" if name == "pixels" else name for name in node.input]
    after = [
        helper.make_node("Identity", [label], ["digit"]),
        helper.make_node("Identity", [scores], ["scores"]),
    ]
    made = helper.make_graph(
        [*before, *graph.node, *after],
        "svc",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [None, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("digit", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, None]),
        ],
        [*graph.initializer, shape, half, one],
    )
    whole = helper.make_model(
        made, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString())


def _converted(machine: SVC) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it asks for probabilities of old
        model: onnx.ModelProto = convert_sklearn(
            machine,
            initial_types=[("pixels", FloatTensorType([None, SIDE * SIDE]))],
            options={SVC: {"zipmap": False}},
        )
    return model
