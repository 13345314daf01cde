"""Put an exported ONNX graph into the one form that bundles hold."""

from typing import Any, Final

import onnx

from gurmukhi.image import SIDE
from gurmukhi.labels import CLASS_COUNT
from gurmukhi.manifest import TensorSpec

BATCH: Final = "batch"
# The newest intermediate representation that goes with opset 21, and that Triton still reads.
_IR_VERSION: Final = 10
_DATATYPES: Final = {
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.FLOAT: "FP32",
}
_CONTRACT: Final = {
    "pixels": ("UINT8", (-1, SIDE, SIDE)),
    "digit": ("INT64", (-1,)),
    "scores": ("FP32", (-1, CLASS_COUNT)),
    "probabilities": ("FP32", (-1, CLASS_COUNT)),
}


def finish_graph(model: onnx.ModelProto) -> bytes:
    """Strip, order, check and serialise a graph: the same model gives the same bytes.

    Exporters leave source paths in node metadata and attributes in no fixed order.
    Raises onnx.checker.ValidationError, or ValueError where inputs and outputs are not ours.
    """
    _strip(model)
    model.ir_version = min(model.ir_version, _IR_VERSION)
    for value in [*model.graph.input, *model.graph.output]:
        dimension = value.type.tensor_type.shape.dim[0]
        dimension.Clear()
        dimension.dim_param = BATCH
    onnx.checker.check_model(model, full_check=True)
    for spec in [*tensor_specs(model.graph.input), *tensor_specs(model.graph.output)]:
        if _CONTRACT.get(spec.name) != (spec.datatype, spec.shape):
            raise ValueError(f"the graph has {spec}; expected {_CONTRACT.get(spec.name)}")
    return model.SerializeToString(deterministic=True)


def tensor_specs(values: Any) -> tuple[TensorSpec, ...]:
    """The names, datatypes and shapes of a graph's inputs or outputs."""
    return tuple(
        TensorSpec(
            value.name,
            _DATATYPES[value.type.tensor_type.elem_type],
            tuple(dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim),
        )
        for value in values
    )


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operator set that a graph uses; raises ValueError on others."""
    domains = {entry.domain: entry.version for entry in model.opset_import}
    if set(domains) - {"", "ai.onnx"}:
        raise ValueError(f"the graph uses operators of {sorted(domains)}; expected standard ones")
    return int(next(iter(domains.values())))


def _strip(model: onnx.ModelProto) -> None:
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name = "gurmukhi_digits"
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    parts: list[Any] = [*graph.input, *graph.output, *graph.initializer]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
