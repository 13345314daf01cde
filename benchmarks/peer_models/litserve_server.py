"""LitServe with a graph run by onnxruntime."""

import base64
import sys

import litserve
import numpy as np
import onnxruntime


class Digits(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            sys.argv[1], options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def decode_request(self, request: dict) -> np.ndarray:
        return np.frombuffer(base64.b64decode(request["pixels"]), np.uint8).reshape(-1, 32, 32)

    def predict(self, pixels: np.ndarray) -> list:
        return self._session.run(self._names, {"pixels": pixels})

    def encode_response(self, arrays: list) -> dict:
        return {name: one.tolist() for name, one in zip(self._names, arrays, strict=True)}


if __name__ == "__main__":
    server = litserve.LitServer(Digits(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False)
