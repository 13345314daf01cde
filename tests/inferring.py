"""Requests of the Open Inference Protocol, and what a refused one was told."""

from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.tensor import datatype_of, from_contents, from_raw, to_contents, to_raw


def raw_request(
    array: NDArray[Any], model: str = "mlp", name: str = "pixels", **fields: Any
) -> pb.ModelInferRequest:
    """A request with one raw tensor."""
    request = pb.ModelInferRequest(model_name=model, raw_input_contents=[to_raw(array)], **fields)
    request.inputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
    return request


def typed_request(
    array: NDArray[Any], model: str = "mlp", name: str = "pixels"
) -> pb.ModelInferRequest:
    """A request with one typed tensor."""
    request = pb.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
    tensor.contents.CopyFrom(to_contents(array))
    return request


def outputs_of(response: pb.ModelInferResponse) -> dict[str, NDArray[Any]]:
    """The outputs of a response, raw or typed, by name."""
    if not response.raw_output_contents:
        return {
            output.name: from_contents(output.datatype, output.shape, output.contents)
            for output in response.outputs
        }
    return {
        output.name: from_raw(output.datatype, output.shape, raw)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def refusal(stub: GRPCInferenceServiceStub, request: pb.ModelInferRequest) -> str:
    """What is said of a request that is refused with INVALID_ARGUMENT."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return str(caught.value.details())


def objects(*elements: bytes) -> NDArray[Any]:
    """An array of BYTES, (N,)."""
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array
