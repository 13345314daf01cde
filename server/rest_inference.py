"""An inference by Open Inference v2 over HTTP: JSON, with tensors in it or as bytes behind it.

The header Inference-Header-Content-Length says where the JSON ends. Where it is 0 the body is
pixels and nothing else, 1,024 of each image. Sources: github.com/kserve/open-inference-protocol,
specification/protocol/inference_rest.md; Triton's docs/protocol/extension_binary_data.md.
"""

from functools import partial
from typing import Any, Final

from gurmukhi.image import SIDE
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.tensor import from_raw
from server.errors import InvalidRequest
from server.json_body import (
    expect,
    expect_object,
    expect_text,
    kind_of,
    read_json,
    read_object,
    show,
    write_json,
)
from server.rest_errors import write_error
from server.rest_tensors import read_data, read_shape, write_data
from server.web import JSON, OCTETS, Endpoint, HttpRequest, HttpResponse, expect_plain

HEADER_LENGTH: Final = "inference-header-content-length"
_BINARY: Final = "binary_data"
_BINARY_OUTPUT: Final = "binary_data_output"
_BINARY_SIZE: Final = "binary_data_size"
_REQUEST: Final = ("id", "model_name", "model_version", "parameters", "inputs", "outputs")
_INPUT: Final = ("name", "shape", "datatype", "parameters", "data")
_OUTPUT: Final = ("name", "parameters")
_IMAGE_BYTES: Final = SIDE * SIDE


def infer_endpoint(name: str, version: str) -> Endpoint:
    """The endpoint of one model, or one version of it."""
    path = "inference.GRPCInferenceService/ModelInfer"
    return Endpoint(path, partial(_read, name, version), _write, write_error)


def read_parameters(value: Any, parameters: Any, field: str) -> None:
    """Put an object's values among a message's parameters; raises InvalidRequest."""
    for key, item in expect(value, dict, field).items():
        where = f"{field}[{show(key)}]"
        parameter = parameters[expect_text(key, where)]
        if type(item) is bool:
            parameter.bool_param = item
        elif type(item) is str:
            parameter.string_param = expect_text(item, where)
        elif type(item) is int and -(2**63) <= item < 2**64:
            if item < 2**63:
                parameter.int64_param = item
            else:
                parameter.uint64_param = item
        elif type(item) is float:
            parameter.double_param = item
        else:
            what = "a number out of range" if type(item) is int else kind_of(item)
            raise InvalidRequest(where, f"is {what}; expected a string, number or boolean")


def _read(name: str, version: str, request: HttpRequest) -> pb.ModelInferRequest:
    expect_plain(request)
    head, tail = _split(request)
    message = pb.ModelInferRequest(model_name=name, model_version=version)
    if not head and tail:
        return _read_pixels(message, tail)
    document = read_object(head, _REQUEST)
    for key, said in (("model_name", name), ("model_version", version)):
        if document.get(key, said) != said:
            raise InvalidRequest(key, "is another than the path's")
    if "id" in document:
        message.id = expect_text(document["id"], "id")
    parameters = dict(expect(document.get("parameters", {}), dict, "parameters"))
    expect(parameters.pop(_BINARY_OUTPUT, False), bool, f"parameters[{_BINARY_OUTPUT}]")
    read_parameters(parameters, message.parameters, "parameters")
    position = 0
    for index, item in enumerate(expect(document.get("inputs", []), list, "inputs")):
        position = _read_input(message, item, f"inputs[{index}]", tail, position)
    if position != len(tail):
        raise InvalidRequest(
            HEADER_LENGTH,
            f"leaves {len(tail)} bytes behind the JSON; the inputs' {_BINARY_SIZE} make {position}",
        )
    for index, item in enumerate(expect(document.get("outputs", []), list, "outputs")):
        _read_output(message, item, f"outputs[{index}]")
    return message


def _split(request: HttpRequest) -> tuple[bytes, bytes]:
    """The JSON of a body, and what comes behind it."""
    length, body = request.headers.get(HEADER_LENGTH), request.body
    if length is None:
        return body, b""
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise InvalidRequest(HEADER_LENGTH, "is no number of bytes")
    if int(length) > len(body):
        raise InvalidRequest(HEADER_LENGTH, f"is {length}; the body has {len(body)} bytes")
    return body[: int(length)], body[int(length) :]


def _read_pixels(message: pb.ModelInferRequest, pixels: bytes) -> pb.ModelInferRequest:
    count, rest = divmod(len(pixels), _IMAGE_BYTES)
    if rest:
        raise InvalidRequest(
            "body", f"has {len(pixels)} bytes; without JSON, {_IMAGE_BYTES} of each image"
        )
    message.inputs.add(name="pixels", datatype="UINT8", shape=[count, SIDE, SIDE])
    message.raw_input_contents.append(pixels)
    return message


def _read_input(
    message: pb.ModelInferRequest, item: Any, field: str, tail: bytes, position: int
) -> int:
    """Add an input; returns where the bytes of the next begin."""
    tensor = expect_object(item, field, _INPUT)
    datatype = expect_text(_required(tensor, "datatype", field), f"{field}.datatype")
    shape = read_shape(_required(tensor, "shape", field), f"{field}.shape")
    parameters = dict(expect(tensor.get("parameters", {}), dict, f"{field}.parameters"))
    size = parameters.pop(_BINARY_SIZE, None)
    is_base64 = datatype == "BYTES" and parameters.get("content_type") == "base64"
    added = message.inputs.add(
        name=expect_text(_required(tensor, "name", field), f"{field}.name"),
        datatype=datatype,
        shape=shape,
    )
    read_parameters(parameters, added.parameters, f"{field}.parameters")
    if size is None:
        if "shared_memory_region" in parameters:
            message.raw_input_contents.append(b"")  # which no service offers
            return position
        data = _required(tensor, "data", field)
        raw = read_data(data, datatype, shape, f"{field}.data", is_base64=is_base64)
        message.raw_input_contents.append(raw)
        return position
    where = f"{field}.parameters[{_BINARY_SIZE}]"
    if "data" in tensor:
        raise InvalidRequest(f"{field}.data", f"is given beside {_BINARY_SIZE}; expected one")
    if expect(size, int, where) < 0 or size > len(tail) - position:
        raise InvalidRequest(where, f"is {show(str(size))}; {len(tail) - position} bytes are left")
    message.raw_input_contents.append(tail[position : position + size])
    return position + int(size)


def _read_output(message: pb.ModelInferRequest, item: Any, field: str) -> None:
    output = expect_object(item, field, _OUTPUT)
    added = message.outputs.add(name=expect_text(_required(output, "name", field), f"{field}.name"))
    parameters = dict(expect(output.get("parameters", {}), dict, f"{field}.parameters"))
    expect(parameters.pop(_BINARY, False), bool, f"{field}.parameters[{_BINARY}]")
    read_parameters(parameters, added.parameters, f"{field}.parameters")


def _required(owner: dict[str, Any], key: str, field: str) -> Any:
    if key not in owner:
        raise InvalidRequest(f"{field}.{key}", "is missing")
    return owner[key]


def _write(message: pb.ModelInferResponse, request: HttpRequest) -> HttpResponse:
    in_binary, by_default = _wanted_in_binary(request)
    document: dict[str, Any] = {
        "model_name": message.model_name,
        "model_version": message.model_version,
    }
    if message.id:
        document["id"] = message.id
    if message.parameters:
        document["parameters"] = {
            key: getattr(value, value.WhichOneof("parameter_choice"))
            for key, value in message.parameters.items()
        }
    outputs, tail = [], []
    for output, raw in zip(message.outputs, message.raw_output_contents, strict=True):
        shape = list(output.shape)
        tensor: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": shape}
        if in_binary.get(output.name, by_default):
            tensor["parameters"] = {_BINARY_SIZE: len(raw)}
            tail.append(raw)
        else:
            tensor["data"] = write_data(from_raw(output.datatype, shape, raw))
        outputs.append(tensor)
    document["outputs"] = outputs
    head = write_json(document)
    if not tail:
        return HttpResponse(200, JSON, head)
    length = ((HEADER_LENGTH, str(len(head))),)
    return HttpResponse(200, OCTETS, b"".join((head, *tail)), length)


def _wanted_in_binary(request: HttpRequest) -> tuple[dict[str, bool], bool]:
    """Which outputs a request wants as bytes, and whether those that it does not name."""
    head, _ = _split(request)
    if not head or (b"binary_data" not in head and b"\\" not in head):
        return {}, False  # most requests: not to be read again
    document = read_json(head)
    named = {
        output["name"]: output["parameters"][_BINARY]
        for output in document.get("outputs", ())
        if _BINARY in output.get("parameters", ())
    }
    return named, document.get("parameters", {}).get(_BINARY_OUTPUT, False)
