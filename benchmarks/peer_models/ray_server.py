"""Ray Serve with a graph run by onnxruntime."""

import base64
import signal
import sys

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment
class Digits:
    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    async def __call__(self, request: Request) -> dict:
        pixels = base64.b64decode((await request.json())["pixels"])
        images = np.frombuffer(pixels, np.uint8).reshape(-1, 32, 32)
        arrays = self._session.run(self._names, {"pixels": images})
        return {name: one.tolist() for name, one in zip(self._names, arrays, strict=True)}


if __name__ == "__main__":
    ray.init(include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Digits.bind(sys.argv[1]), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
