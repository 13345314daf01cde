"""Write a prediction as a ModelInferResponse: tensors, or Triton's classifications of them.

Source: Triton's "Classification Extension" (docs/protocol/extension_classification.md).
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.tensor import datatype_of, to_contents, to_raw
from server.errors import InvalidRequest
from server.model import Model, Prediction
from server.wire_format import little_endian, number_of, prefix

_CLASSIFICATION: Final = "classification"
_LABEL: Final = "digit"  # one number an image, not one a class

_RAW_CONTENTS: Final = number_of(pb.ModelInferResponse, "raw_output_contents")
# Of each output its name, datatype and shape.
_Layout: TypeAlias = tuple[tuple[str, str, tuple[int, ...]], ...]


class Wanted(NamedTuple):
    """An output that a request asks for: the tensor, or the `classes` best classes of it."""

    name: str
    classes: int | None = None


def wanted_outputs(request: pb.ModelInferRequest, model: Model) -> Sequence[Wanted]:
    """The outputs that a request asks for, all where it names none; raises InvalidRequest."""
    names = model.output_names
    if not request.outputs:
        return _all_of(names)
    wanted: dict[str, Wanted] = {}
    for index, output in enumerate(request.outputs):
        field, name = f"outputs[{index}]", output.name
        if name not in names:
            raise InvalidRequest(
                f"{field}.name", f"is {name[:32]!r}; expected one of {', '.join(names)}"
            )
        if name in wanted:
            raise InvalidRequest(f"{field}.name", f"{name!r} is requested twice")
        wanted[name] = Wanted(name, _classes(output, field) if output.parameters else None)
    return list(wanted.values())


@cache
def _all_of(names: tuple[str, ...]) -> tuple[Wanted, ...]:
    return tuple([Wanted(name) for name in names])


def respond(
    request: pb.ModelInferRequest,
    model: Model,
    prediction: Prediction,
    wanted: Sequence[Wanted],
    warnings: Sequence[tuple[int, str]],
) -> pb.ModelInferResponse:
    """Answer a request: raw where it was raw, typed where it was typed.

    What was noticed of an encoded picture, (image, warning), goes into a parameter `warnings`.
    """
    arrays = [_array(prediction, model, output) for output in wanted]
    head = _head(model.name, model.version, _layout(wanted, arrays))
    response = pb.ModelInferResponse()
    response.CopyFrom(head)
    response.id = request.id
    if warnings:
        response.parameters["warnings"].string_param = "; ".join(
            f"image {index}: {warning}" for index, warning in warnings
        )
    if request.raw_input_contents:
        response.raw_output_contents.extend([to_raw(array) for array in arrays])
    else:
        for tensor, array in zip(response.outputs, arrays, strict=True):
            tensor.contents.CopyFrom(to_contents(array))
    return response


class RawWriter:
    """Writes the answers to raw requests that ask the same of the same version, in their bytes.

    They are those of `respond` to a request without an id, for tensors; one prediction for such a
    request says of what shapes they are.
    """

    __slots__ = ("_head", "_outputs")

    def __init__(self, model: Model, wanted: Sequence[Wanted], prediction: Prediction) -> None:
        arrays = [prediction.output(output.name) for output in wanted]
        head = _head(model.name, model.version, _layout(wanted, arrays))
        # In a message the raw contents come after all else.
        self._head: bytes = head.SerializeToString()
        self._outputs = [
            (prefix(_RAW_CONTENTS, array.nbytes), prediction.place(output.name))
            for output, array in zip(wanted, arrays, strict=True)
        ]

    def write(self, prediction: Prediction) -> bytes:
        """The answer by another prediction for as many images."""
        parts = [self._head]
        for before, place in self._outputs:
            array: Any = prediction[place]
            parts += (before, little_endian(array))
        return b"".join(parts)


def classifications(
    scores: NDArray[np.float32], labels: Sequence[str], classes: int
) -> NDArray[Any]:
    """The best classes of each image, (N, classes), as `score:class:label` in UTF-8.

    At most all classes, the highest score first and the first class of equal ones; a score has
    six decimals, as Triton writes it.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :classes]
    texts = np.empty(best.shape, dtype=object)
    for image, row in enumerate(best.tolist()):
        for rank, label in enumerate(row):
            score = float(scores[image, label])
            texts[image, rank] = f"{score:f}:{label}:{labels[label]}".encode()
    return texts


# One entry for each model, set of outputs and batch size that is in use.
@lru_cache(maxsize=256)
def _head(name: str, version: str, outputs: _Layout) -> pb.ModelInferResponse:
    """All of a response that is the same for each of its kind; not to be changed."""
    response = pb.ModelInferResponse(model_name=name, model_version=version)
    for output, datatype, shape in outputs:
        response.outputs.add(name=output, datatype=datatype, shape=shape)
    return response


def _layout(wanted: Sequence[Wanted], arrays: Sequence[NDArray[Any]]) -> _Layout:
    return tuple(
        [  # a list is faster than a generator, and every request passes here
            (output.name, datatype_of(array), array.shape)
            for output, array in zip(wanted, arrays, strict=True)
        ]
    )


def _array(prediction: Prediction, model: Model, wanted: Wanted) -> NDArray[Any]:
    array = prediction.output(wanted.name)
    if wanted.classes is None:
        return array
    return classifications(array, model.manifest.labels, wanted.classes)


def _classes(output: pb.ModelInferRequest.InferRequestedOutputTensor, field: str) -> int | None:
    """How many classes are asked for; None for the tensor itself."""
    if "shared_memory_region" in output.parameters:
        raise InvalidRequest(
            f"{field}.parameters[shared_memory_region]",
            "shared memory is not offered; outputs come in the response",
        )
    if _CLASSIFICATION not in output.parameters:
        return None
    field = f"{field}.parameters[{_CLASSIFICATION}]"
    parameter = output.parameters[_CLASSIFICATION]
    if parameter.WhichOneof("parameter_choice") != "int64_param" or parameter.int64_param < 1:
        raise InvalidRequest(field, "expected an int64_param, the number of classes, from 1")
    if output.name == _LABEL:
        raise InvalidRequest(
            field, f"{_LABEL!r} is the label of an image; expected scores or probabilities"
        )
    return parameter.int64_param
