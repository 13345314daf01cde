"""PyTriton with a graph run by onnxruntime."""

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]


@batch
def predict(pixels: np.ndarray) -> dict:
    answers = dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))
    answers["digit"] = answers["digit"][:, None]  # PyTriton wants a dimension beside the batch's
    return answers


if __name__ == "__main__":
    outputs = [
        Tensor(name=name, dtype=np.int64, shape=(1,))
        if name == "digit"
        else Tensor(name=name, dtype=np.float32, shape=(10,))
        for name in names
    ]
    config = TritonConfig(
        grpc_address="127.0.0.1",
        grpc_port=int(sys.argv[2]),
        http_address="127.0.0.1",
        http_port=int(sys.argv[3]),
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="digits",
            infer_func=predict,
            inputs=[Tensor(name="pixels", dtype=np.uint8, shape=(32, 32))],
            outputs=outputs,
            config=ModelConfig(max_batch_size=256),
        )
        triton.serve()
