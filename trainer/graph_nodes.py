"""Put nodes and constants into a graph that skl2onnx is building."""

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

OPSET: Final = 21


class Nodes:
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
            op_version=OPSET,
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
