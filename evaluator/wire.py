"""Ask for digits and read answers in Open Inference messages, raw or typed."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import GurmukhiError, TensorError
from gurmukhi.image import SIDE
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.labels import CLASS_COUNT
from gurmukhi.tensor import from_contents, from_raw, to_contents, to_raw

INPUT: Final = "pixels"


class AnswerError(GurmukhiError):
    """A call succeeded, and its answer is not of the promised form."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of N images."""

    digits: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N, 10)
    probabilities: NDArray[np.float32] | None  # (N, 10)


def infer_request(
    model: str, version: str, images: NDArray[np.uint8], *, typed: bool = False
) -> pb.ModelInferRequest:
    """A request to classify images (N, 32, 32)."""
    tensor = pb.ModelInferRequest.InferInputTensor(
        name=INPUT, datatype="UINT8", shape=[len(images), SIDE, SIDE]
    )
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    if typed:
        tensor.contents.CopyFrom(to_contents(images))
    else:
        request.raw_input_contents.append(to_raw(images))
    request.inputs.append(tensor)
    return request


def read_answer(reply: pb.ModelInferResponse, count: int) -> Answer:
    """Read the answer on `count` images; raises AnswerError."""
    tensors = _tensors(reply)
    digits = _output(tensors, "digit", "INT64", (count,))
    if count and not (digits.min() >= 0 and digits.max() < CLASS_COUNT):
        wrong = digits[(digits < 0) | (digits >= CLASS_COUNT)][0]
        raise AnswerError(f"the digit {wrong} is none of 0 to {CLASS_COUNT - 1}")
    return Answer(
        digits,
        _output(tensors, "scores", "FP32", (count, CLASS_COUNT)),
        _output(tensors, "probabilities", "FP32", (count, CLASS_COUNT))
        if "probabilities" in tensors
        else None,
    )


def _tensors(reply: pb.ModelInferResponse) -> dict[str, tuple[str, NDArray[Any]]]:
    raw = reply.raw_output_contents
    if raw and len(raw) != len(reply.outputs):
        raise AnswerError(f"{len(reply.outputs)} outputs come with {len(raw)} raw contents")
    tensors = {}
    for index, output in enumerate(reply.outputs):
        try:
            array = (
                from_raw(output.datatype, output.shape, raw[index])
                if raw
                else from_contents(output.datatype, output.shape, output.contents)
            )
        except TensorError as error:
            raise AnswerError(f"the output {output.name!r}: {error}") from error
        tensors[output.name] = (output.datatype, array)
    return tensors


def _output(
    tensors: dict[str, tuple[str, NDArray[Any]]],
    name: str,
    datatype: str,
    shape: tuple[int, ...],
) -> NDArray[Any]:
    if name not in tensors:
        raise AnswerError(f"no output {name!r}; the answer has {', '.join(tensors) or 'none'}")
    actual, array = tensors[name]
    if array.shape == (*shape, 1):  # as MLServer's codecs write a list of values
        array = array[..., 0]
    if actual != datatype or array.shape != shape:
        raise AnswerError(
            f"the output {name!r} is {actual} {list(array.shape)}; "
            f"expected {datatype} {list(shape)}"
        )
    return array
