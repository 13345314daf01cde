"""BentoML with a graph run by onnxruntime."""

import base64
import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1)
class Digits:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ["GRAPH"], options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    @bentoml.api
    def predict(self, pixels: str) -> dict:
        images = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(-1, 32, 32)
        arrays = self._session.run(self._names, {"pixels": images})
        return {name: one.tolist() for name, one in zip(self._names, arrays, strict=True)}
