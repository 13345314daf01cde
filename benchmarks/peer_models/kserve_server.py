"""KServe's model server with a graph run by onnxruntime."""

import argparse

import kserve
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, ModelServer, model_server


class Digits(kserve.Model):
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]
        self.ready = True

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        arrays = self._session.run(self._names, {"pixels": payload.inputs[0].as_numpy()})
        outputs = []
        for name, array in zip(self._names, arrays, strict=True):
            datatype = "INT64" if name == "digit" else "FP32"
            output = InferOutput(name, list(array.shape), datatype)
            output.set_data_from_numpy(array, binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser], conflict_handler="resolve")
    parser.add_argument("path")
    arguments = parser.parse_args()
    ModelServer(http_port=arguments.http_port, grpc_port=arguments.grpc_port, workers=1).start(
        [Digits("digits", arguments.path)]
    )
