"""What an Open Inference request may carry: FP32 pixels and encoded pictures."""

import io
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import RunningServer
from inferring import objects, outputs_of, raw_request, refusal, typed_request
from numpy.typing import NDArray
from PIL import Image

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(8, 81)


@pytest.fixture
def stub(server: RunningServer) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield GRPCInferenceServiceStub(channel)


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def ranged(array: NDArray[Any], scale: str | None, *, of: str = "input") -> pb.ModelInferRequest:
    request = raw_request(array)
    if scale is not None:
        owner = request.inputs[0] if of == "input" else request
        owner.parameters["range"].string_param = scale
    return request


@pytest.fixture
def expected(stub: GRPCInferenceServiceStub) -> dict[str, NDArray[Any]]:
    return outputs_of(stub.ModelInfer(raw_request(IMAGES), timeout=5))


@pytest.mark.parametrize("of", ["input", "request"])
@pytest.mark.parametrize(
    ("array", "scale"),
    [
        (IMAGES.astype(np.float32), "0-255"),
        (IMAGES.astype(np.float32) / 255, "0-1"),
        (IMAGES.astype(np.float32) * np.float32(1 / 255), "0-1"),
        (IMAGES.reshape(-1, 1024).astype(np.float32), "0-255"),
    ],
)
def test_fp32_that_is_exact_gets_the_answer_of_uint8(
    stub: GRPCInferenceServiceStub,
    expected: dict[str, NDArray[Any]],
    array: NDArray[np.float32],
    scale: str,
    of: str,
) -> None:
    answers = outputs_of(stub.ModelInfer(ranged(array, scale, of=of), timeout=5))
    for name, values in expected.items():
        np.testing.assert_array_equal(answers[name], values)


def test_every_grey_level_survives_either_scale(stub: GRPCInferenceServiceStub) -> None:
    ramp = np.arange(1024, dtype=np.int64).reshape(1, 32, 32) % 256
    replies = [
        stub.ModelInfer(request, timeout=5).raw_output_contents
        for request in (
            raw_request(ramp.astype(np.uint8)),
            ranged(ramp.astype(np.float32), "0-255"),
            ranged((ramp / 255).astype(np.float32), "0-1"),
        )
    ]
    assert replies[0] == replies[1] == replies[2]


def test_typed_fp32_is_read_as_raw_fp32_is(
    stub: GRPCInferenceServiceStub, expected: dict[str, NDArray[Any]]
) -> None:
    request = typed_request(IMAGES.astype(np.float32))
    request.inputs[0].parameters["range"].string_param = "0-255"
    reply = stub.ModelInfer(request, timeout=5)
    assert not reply.raw_output_contents
    np.testing.assert_array_equal(outputs_of(reply)["digit"], expected["digit"])


def test_fp32_without_a_range_is_refused_even_where_it_could_be_guessed(
    stub: GRPCInferenceServiceStub,
) -> None:
    said = refusal(stub, ranged(IMAGES.astype(np.float32), None))
    assert "expected a parameter 'range'" in said
    assert "'0-255' or '0-1'" in said


def test_an_unknown_range_is_refused(stub: GRPCInferenceServiceStub) -> None:
    said = refusal(stub, ranged(IMAGES.astype(np.float32), "-1-1"))
    assert said.startswith("inputs[0].parameters[range]: is '-1-1'")
    request = raw_request(IMAGES.astype(np.float32))
    request.parameters["range"].int64_param = 255
    assert refusal(stub, request).startswith("parameters[range]: ")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1, 256, 0.5, 3e38])
def test_a_value_that_is_no_pixel_is_refused_by_its_index(
    stub: GRPCInferenceServiceStub, value: float
) -> None:
    array = IMAGES.astype(np.float32)
    array[3, 5, 31] = array[4, 0, 0] = value
    said = refusal(stub, ranged(array, "0-255"))
    assert said.startswith(f"inputs[0]: has {np.float32(value):.9g} at [3,5,31]; ")
    assert "whole numbers from 0 to 255" in said


@pytest.mark.parametrize("value", [np.nan, 1.01, -0.01, 0.5, 127 / 256])
def test_a_value_between_two_grey_levels_is_refused(
    stub: GRPCInferenceServiceStub, value: float
) -> None:
    array = (IMAGES / 255).astype(np.float32).reshape(-1, 1024)
    array[1, 7] = value
    assert "at [1,7]; its range has k/255" in refusal(stub, ranged(array, "0-1"))


def test_pixels_divided_by_256_are_refused(stub: GRPCInferenceServiceStub) -> None:
    assert "0.99609375" in refusal(stub, ranged((IMAGES / 256).astype(np.float32), "0-1"))


def test_uint8_pixels_cannot_lie_between_0_and_1(stub: GRPCInferenceServiceStub) -> None:
    assert "UINT8 pixels lie between 0 and 255" in refusal(stub, ranged(IMAGES, "0-1"))
    assert stub.ModelInfer(ranged(IMAGES, "0-255"), timeout=5).outputs


@pytest.mark.parametrize("make", [raw_request, typed_request])
@pytest.mark.parametrize("column", [False, True])
def test_encoded_pictures_get_the_answer_of_their_pixels(
    stub: GRPCInferenceServiceStub,
    expected: dict[str, NDArray[Any]],
    make: Any,
    column: bool,
) -> None:
    kinds = ("PNG", "BMP", "TIFF", "WEBP")
    pictures = objects(
        *(
            encoded(image, kinds[index % 3] if index % 4 != 3 else "PNG")
            for index, image in enumerate(IMAGES)
        )
    )
    request = make(pictures.reshape(-1, 1) if column else pictures, name="image")
    reply = stub.ModelInfer(request, timeout=5)
    assert bool(reply.raw_output_contents) is (make is raw_request)
    np.testing.assert_array_equal(outputs_of(reply)["digit"], expected["digit"])
    assert "warnings" not in reply.parameters


def test_what_is_noticed_of_a_picture_is_told(stub: GRPCInferenceServiceStub) -> None:
    pictures = objects(encoded(IMAGES[0]), encoded(255 - IMAGES[1]))
    reply = stub.ModelInfer(raw_request(pictures, name="image"), timeout=5)
    assert reply.parameters["warnings"].string_param == "image 1: inverted"


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (b"", "image 3: the image is empty"),
        (b"no picture", "image 3: not a PNG"),
        (encoded(IMAGES[0], "BMP")[:-40], "image 3: the BMP image"),
        (encoded(np.full((40, 40), 255, np.uint8)), "image 3: the image is blank"),
    ],
)
def test_a_bad_picture_is_refused_by_its_number(
    stub: GRPCInferenceServiceStub, picture: bytes, said: str
) -> None:
    good = encoded(IMAGES[0])
    request = raw_request(objects(good, good, good, picture), name="image")
    assert refusal(stub, request).startswith(f"inputs[0]: {said}")


def test_pictures_that_together_unpack_to_too_much_are_refused(
    stub: GRPCInferenceServiceStub,
) -> None:
    large = encoded(IMAGES[0].repeat(100, 0).repeat(100, 1))  # 10 million pixels
    request = raw_request(objects(*[large] * 4), name="image")
    assert refusal(stub, request).startswith("inputs[0]: image 3: the images up to this one have")


@pytest.mark.parametrize(
    ("contents", "shape", "said"),
    [
        (b"\x05\0\0\0abc", [1], "element 0 of raw contents has 5 bytes by its length, but 3 are"),
        (b"\x05\0", [1], "end inside the length of element 0"),
        (b"\xff\xff\xff\xff", [1], "has 4294967295 bytes by its length"),
        (b"\0\0\0\0", [2], "have 1 elements; BYTES of shape [2] has 2"),
        (b"\0\0\0\0" * 2, [1], "have 4 bytes past the 1 elements"),
        (b"\0\0\0\0", [1, 2], "expected [N] or [N,1]"),
        (b"", [], "expected [N] or [N,1]"),
        (b"", [0], "expected 1 to 1000 images"),
        (b"\0\0\0\0" * 1001, [1001], "expected 1 to 1000 images"),
    ],
)
def test_a_broken_tensor_of_pictures_is_refused(
    stub: GRPCInferenceServiceStub, contents: bytes, shape: list[int], said: str
) -> None:
    request = pb.ModelInferRequest(model_name="mlp", raw_input_contents=[contents])
    request.inputs.add(name="image", datatype="BYTES", shape=shape)
    assert said in refusal(stub, request)


def test_pictures_have_no_range(stub: GRPCInferenceServiceStub) -> None:
    request = raw_request(objects(encoded(IMAGES[0])), name="image")
    request.parameters["range"].string_param = "0-255"
    assert "encoded pictures have none" in refusal(stub, request)


def test_metadata_tells_what_is_taken_beside_the_listed_input(
    stub: GRPCInferenceServiceStub,
) -> None:
    reply = stub.ModelMetadata(pb.ModelMetadataRequest(name="mlp"), timeout=5)
    assert [tensor.name for tensor in reply.inputs] == ["pixels"]
    assert "image BYTES" in reply.properties["also_accepted"]
