"""Read the images of a ModelInferRequest: as pixels, UINT8 or FP32, or as encoded pictures.

============  =========================  =======================================================
`pixels`      UINT8 [N,32,32], [N,1024]  0 is ink and 255 is paper
`pixels`      FP32, the same shapes      whole numbers, by a parameter `range`: "0-255" or "0-1"
`image`       BYTES [N], [N,1]           PNG, BMP, TIFF, JPEG or WebP files of any size
============  =========================  =======================================================

FP32 is taken where every value stands for one UINT8 exactly, and its scale is declared, never
guessed: an image that is all 0 and 1 may be bilevel in either.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gurmukhi.errors import ImageError, TensorError
from gurmukhi.image import MAX_CALL_PIXELS, MAX_SERVED_PIXELS, SIDE, PixelBudget, decode
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.tensor import from_contents, from_raw
from server.errors import InvalidRequest
from server.service import Call, ensure_awaited

# For people, in a model's metadata: what is taken beside the input that it lists.
ALSO_ACCEPTED: Final = (
    "pixels UINT8 [N,1024]; "
    "pixels FP32 [N,32,32] or [N,1024] with parameter range '0-255' or '0-1'; "
    "image BYTES [N]: PNG, BMP, TIFF, JPEG or WebP files"
)

_RANGE: Final = "range"
_SCALES: Final[Mapping[str, int]] = {"0-255": 1, "0-1": 255}  # what gives 0 to 255
# A pixel divided by 255 in float32 is within 2e-5 of a whole number when multiplied by 255 again,
# also where a reciprocal was used; one divided by 256 is 4e-3 off at white.
_TOLERANCE: Final = 1e-3

Tensor = pb.ModelInferRequest.InferInputTensor


class Images(NamedTuple):
    """The images of a request, and what was noticed while pictures were fitted to the frame."""

    pixels: NDArray[np.uint8]  # (N, 32, 32), 0 ink and 255 paper
    warnings: tuple[tuple[int, str], ...] = ()  # (image, warning)


def takes_long(request: pb.ModelInferRequest) -> bool:
    """Whether a request may take much longer to read than most: pictures, and typed contents."""
    inputs = request.inputs
    return not (request.raw_input_contents and inputs and inputs[0].datatype == "UINT8")


def pixels_of(request: pb.ModelInferRequest, max_images: int) -> bytes | None:
    """The raw pixels of a request that says nothing beside them but model and outputs.

    None of one that is refused, and of one with an id, which may be another each time.
    """
    raw, inputs = request.raw_input_contents, request.inputs
    if len(raw) != 1 or len(inputs) != 1 or request.id or request.parameters:
        return None
    tensor = inputs[0]
    if (tensor.name, tensor.datatype) != ("pixels", "UINT8") or tensor.parameters:
        return None
    shape, pixels = list(tensor.shape), raw[0]
    if tensor.HasField("contents") or not shape or shape[1:] not in _SHAPES["UINT8"]:
        return None
    if any(output.parameters for output in request.outputs):
        return None
    is_whole = 1 <= shape[0] <= max_images and len(pixels) == shape[0] * SIDE * SIDE
    return pixels if is_whole else None


def put_pixels(request: pb.ModelInferRequest, pixels: bytes) -> None:
    """Put other pixels into a request that `pixels_of` gives some of."""
    request.raw_input_contents[0] = pixels


def read_images(request: pb.ModelInferRequest, call: Call, max_images: int) -> Images:
    """Read the one input of a request; raises InvalidRequest, DeadlinePassed or CallerGone."""
    if len(request.inputs) != 1:
        raise _unexpected_inputs(request.inputs)
    tensor = request.inputs[0]
    datatype = tensor.datatype
    read = _READERS.get((tensor.name, datatype))
    if read is None:
        raise _unexpected_tensor(request, tensor)
    shape = list(tensor.shape)
    if not shape or shape[1:] not in _SHAPES[datatype]:
        raise InvalidRequest(
            "inputs[0].shape", f"is {shape[:8]}; expected {_EXPECTED_SHAPES[datatype]}"
        )
    if not 1 <= shape[0] <= max_images:
        raise InvalidRequest(
            "inputs[0].shape", f"is {shape}; expected 1 to {max_images} images in one request"
        )
    if tensor.parameters or request.parameters:
        _refuse_shared_memory(tensor)
        scale = _declared_scale(request, tensor)
    else:
        scale = None
    return read(_read_tensor(request, tensor, shape), scale, call)


def _read_tensor(
    request: pb.ModelInferRequest, tensor: Tensor, shape: Sequence[int]
) -> NDArray[Any]:
    raw = request.raw_input_contents
    try:
        if not raw:
            return from_contents(tensor.datatype, shape, tensor.contents)
        if tensor.HasField("contents"):
            raise InvalidRequest(
                "inputs[0].contents", "is given beside raw_input_contents; expected one of them"
            )
        if len(raw) != 1:
            raise InvalidRequest("raw_input_contents", f"has {len(raw)} entries for 1 input")
        return from_raw(tensor.datatype, shape, raw[0])
    except TensorError as error:
        raise InvalidRequest("raw_input_contents" if raw else "inputs[0]", str(error)) from error


def _read_uint8(values: NDArray[np.uint8], scale: int | None, call: Call) -> Images:
    if scale not in (None, 1):
        raise InvalidRequest(
            f"parameters[{_RANGE}]", "is '0-1'; UINT8 pixels lie between 0 and 255"
        )
    return Images(values.reshape(-1, SIDE, SIDE))


def _read_fp32(values: NDArray[np.float32], scale: int | None, call: Call) -> Images:
    if scale is None:
        raise InvalidRequest(
            "inputs[0].datatype",
            f"is FP32, whose scale must be declared: expected a parameter {_RANGE!r} of the input "
            f"or the request, one of {_one_of(_SCALES)}; or send UINT8",
        )
    scaled = values.astype(np.float64) * scale
    whole = np.rint(scaled)
    with np.errstate(invalid="ignore"):  # of infinities, which are refused
        exact = (np.abs(scaled - whole) <= (0 if scale == 1 else _TOLERANCE)) & (
            (whole >= 0) & (whole <= 255)  # nothing holds of NaN
        )
    if not exact.all():
        first = np.unravel_index(int(exact.argmin()), values.shape)
        place = ",".join(str(int(index)) for index in first)
        expected = "whole numbers from 0 to 255" if scale == 1 else "k/255 for whole k, 0 to 1"
        raise InvalidRequest(
            "inputs[0]", f"has {values[first]:.9g} at [{place}]; its range has {expected}"
        )
    return Images(whole.astype(np.uint8).reshape(-1, SIDE, SIDE))


def _read_pictures(values: NDArray[Any], scale: int | None, call: Call) -> Images:
    if scale is not None:
        raise InvalidRequest(f"parameters[{_RANGE}]", "is of pixels; encoded pictures have none")
    pixels = np.empty((values.size, SIDE, SIDE), dtype=np.uint8)
    warnings: list[tuple[int, str]] = []
    budget = PixelBudget(MAX_CALL_PIXELS)
    for index, data in enumerate(values.ravel().tolist()):
        ensure_awaited(call)  # a picture may take long to decode
        try:
            image = decode(data, max_pixels=MAX_SERVED_PIXELS, budget=budget)
        except ImageError as error:
            raise InvalidRequest("inputs[0]", f"image {index}: {error}") from error
        pixels[index] = image.pixels
        warnings.extend((index, warning) for warning in image.warnings)
    return Images(pixels, tuple(warnings))


def _declared_scale(request: pb.ModelInferRequest, tensor: Tensor) -> int | None:
    """The scale by the parameter `range`, on the input or, where it has none, on the request."""
    for field, parameters in (
        ("inputs[0].parameters", tensor.parameters),
        ("parameters", request.parameters),
    ):
        if _RANGE in parameters:
            declared = parameters[_RANGE].string_param
            if declared not in _SCALES:
                raise InvalidRequest(
                    f"{field}[{_RANGE}]",
                    f"is {declared[:16]!r}; expected a string_param, one of {_one_of(_SCALES)}",
                )
            return _SCALES[declared]
    return None


def _refuse_shared_memory(tensor: Tensor) -> None:
    if "shared_memory_region" in tensor.parameters:
        raise InvalidRequest(
            "inputs[0].parameters[shared_memory_region]",
            "shared memory is not offered; send the contents",
        )


def _unexpected_inputs(inputs: Sequence[Tensor]) -> InvalidRequest:
    names = ", ".join(f"{tensor.name[:32]!r}" for tensor in inputs[:8]) or "none"
    return InvalidRequest("inputs", f"are {names}; expected {_one_of(_DATATYPES)} alone")


def _unexpected_tensor(request: pb.ModelInferRequest, tensor: Tensor) -> InvalidRequest:
    datatypes = _DATATYPES.get(tensor.name)
    if datatypes is None:
        return _unexpected_inputs(request.inputs)
    return InvalidRequest(
        "inputs[0].datatype",
        f"is {tensor.datatype[:16]!r}; expected {' or '.join(datatypes)} for {tensor.name!r}",
    )


def _one_of(names: Mapping[str, object]) -> str:
    return " or ".join(repr(name) for name in names)


_READERS: Final[Mapping[tuple[str, str], Callable[[NDArray[Any], int | None, Call], Images]]] = {
    ("pixels", "UINT8"): _read_uint8,
    ("pixels", "FP32"): _read_fp32,
    ("image", "BYTES"): _read_pictures,
}
_DATATYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "pixels": ("UINT8", "FP32"),
    "image": ("BYTES",),
}
_PIXELS: Final = ([SIDE, SIDE], [SIDE * SIDE])
_SHAPES: Final[Mapping[str, tuple[list[int], ...]]] = {
    "UINT8": _PIXELS,
    "FP32": _PIXELS,
    "BYTES": ([], [1]),
}
_EXPECTED_PIXELS: Final = f"[N,{SIDE},{SIDE}] or [N,{SIDE * SIDE}]"
_EXPECTED_SHAPES: Final[Mapping[str, str]] = {
    "UINT8": _EXPECTED_PIXELS,
    "FP32": _EXPECTED_PIXELS,
    "BYTES": "[N] or [N,1]",
}
