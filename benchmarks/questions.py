"""What is asked of a server: one image or a batch, by each protocol, its answer checked once."""

import base64
import http.client
import json
import urllib.request
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks import echo
from benchmarks.load import Question
from benchmarks.processes import BenchmarkError, ServerProcess
from gurmukhi.image import SIDE
from gurmukhi.inference import open_inference_grpc_pb2 as inference
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as digits

CLASSIFY: Final = "/gurmukhi.v1.DigitService/Classify"
JSON_PREDICT: Final = "/predict"
MODEL_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
_SEED: Final = 17
_TIMEOUT_SECONDS: Final = 20.0


def pixels_of(batch: int) -> NDArray[np.uint8]:
    """Images to ask for, (N, 32, 32)."""
    images, _ = synthetic_digits(batch, _SEED)
    return images


def classify(server: ServerProcess, graph: Path, model: str, version: str) -> Question:
    """One image to DigitService.Classify."""
    images = pixels_of(1)
    request = digits.ClassifyRequest(
        image=digits.Image(pixels=images.tobytes()), model=model, version=version
    )
    body = request.SerializeToString()
    answer = _ask(server, CLASSIFY, body)
    digit = digits.ClassifyResponse.FromString(answer).classification.digit
    _compare(server, [digit], _labels(graph, images))
    return Question(CLASSIFY, body, len(answer))


def model_infer(
    server: ServerProcess, graph: Path, model: str, version: str, batch: int = 1
) -> Question:
    """A batch to ModelInfer, UINT8 and raw."""
    images = pixels_of(batch)
    request = inference.ModelInferRequest(model_name=model, model_version=version)
    request.inputs.add(name="pixels", datatype="UINT8", shape=images.shape)
    request.raw_input_contents.append(images.tobytes())
    body = request.SerializeToString()
    answer = _ask(server, MODEL_INFER, body)
    response = inference.ModelInferResponse.FromString(answer)
    names = [tensor.name for tensor in response.outputs]
    raw = response.raw_output_contents[names.index("digit")]
    _compare(server, np.frombuffer(raw, dtype="<i8").tolist(), _labels(graph, images))
    return Question(MODEL_INFER, body, len(answer))


def json_predict(server: ServerProcess, graph: Path) -> Question:
    """One image to a server that has no protocol of its own: JSON, the pixels in base64."""
    images = pixels_of(1)
    body = _json_of(images)
    answer = _post(server.port, body)
    _compare(server, json.loads(answer)["digit"], _labels(graph, images))
    return Question(JSON_PREDICT, body, len(answer), is_json=True)


def answers_json(port: int) -> bool:
    """Whether a server on the port answers an image in JSON."""
    try:
        _post(port, _json_of(pixels_of(1)))
    except (OSError, http.client.HTTPException):
        return False
    return True


def _json_of(images: NDArray[np.uint8]) -> bytes:
    return json.dumps({"pixels": base64.b64encode(images.tobytes()).decode()}).encode()


def _post(port: int, body: bytes) -> bytes:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{JSON_PREDICT}", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as reply:  # noqa: S310
        answer: bytes = reply.read()
        return answer


def echoed(server: ServerProcess, question: Question) -> Question:
    """The same bytes to the echo."""
    if _ask(server, echo.PATH, question.body) != question.body:
        raise BenchmarkError(f"{server.name} does not echo")
    return Question(echo.PATH, question.body, len(question.body))


def _labels(graph: Path, images: NDArray[np.uint8]) -> list[int]:
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    labels: list[int] = session.run(["digit"], {"pixels": images.reshape(-1, SIDE, SIDE)})[
        0
    ].tolist()
    return labels


def _ask(server: ServerProcess, path: str, body: bytes) -> bytes:
    options = [("grpc.max_receive_message_length", 1 << 24)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
        call: Any = channel.unary_unary(path, None, None)
        answer: bytes = call(body, timeout=_TIMEOUT_SECONDS, wait_for_ready=True)
        return answer


def _compare(server: ServerProcess, digits: list[int], expected: list[int]) -> None:
    if digits != expected:
        raise BenchmarkError(f"{server.name} answers {digits[:8]}; the graph says {expected[:8]}")
