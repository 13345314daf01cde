"""Triton's Python backend with a graph run by onnxruntime: `model.py` of its repository."""

import os

import onnxruntime
import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ["GRAPH"], options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def execute(self, requests: list) -> list:
        responses = []
        for request in requests:
            pixels = utils.get_input_tensor_by_name(request, "pixels").as_numpy()
            arrays = self._session.run(self._names, {"pixels": pixels})
            tensors = [
                utils.Tensor(name, array) for name, array in zip(self._names, arrays, strict=True)
            ]
            responses.append(utils.InferenceResponse(output_tensors=tensors))
        return responses
