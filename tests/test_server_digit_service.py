"""DigitService over a real channel to a real server."""

import asyncio
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from bundles import edit_json
from conftest import RunningServer, serving
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from numpy.typing import NDArray
from PIL import Image

from gurmukhi.client import AsyncDigitClient, Classification, DigitClient
from gurmukhi.errors import CallError
from gurmukhi.labels import GLYPHS
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as pb
from gurmukhi.v1.digits_pb2_grpc import DigitServiceStub

IMAGES, LABELS = synthetic_digits(50, 77)


@pytest.fixture
def client(server: RunningServer) -> Iterator[DigitClient]:
    with DigitClient(server.target) as client:
        yield client


@pytest.fixture
def stub(server: RunningServer) -> Iterator[DigitServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield DigitServiceStub(channel)


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_most_synthetic_digits_are_read_right(client: DigitClient) -> None:
    digits = [client.classify(image, model="svm-linear").digit for image in IMAGES]
    assert np.mean(digits == LABELS) >= 0.9


def test_an_answer_names_the_glyph_and_the_version_that_gave_it(client: DigitClient) -> None:
    answer = client.classify(IMAGES[0], model="mlp", version="1")
    assert answer.glyph == GLYPHS[answer.digit]
    assert (answer.model.name, answer.model.version) == ("mlp", "1")
    assert len(answer.model.sha256) == 64


def test_without_a_name_the_mlp_answers(client: DigitClient) -> None:
    assert client.classify(IMAGES[0]).model.name == "mlp"


def test_probabilities_of_the_mlp_sum_to_one(client: DigitClient) -> None:
    answer = client.classify(IMAGES[0], model="mlp")
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-5)
    assert answer.confidence == max(answer.probabilities)


def test_a_model_without_probabilities_has_no_confidence(client: DigitClient) -> None:
    assert client.classify(IMAGES[0], model="svm-linear", version="1").confidence is None


def test_an_encoded_picture_gets_the_answer_of_its_pixels(client: DigitClient) -> None:
    for image in IMAGES[:10]:
        assert client.classify(png(image)).scores == client.classify(image).scores


def test_a_batch_gets_the_answers_of_its_images_in_order(client: DigitClient) -> None:
    one_by_one = [client.classify(image) for image in IMAGES]
    batch = client.classify_batch(list(IMAGES))
    assert [answer.digit for answer in batch] == [answer.digit for answer in one_by_one]
    for answer, alone in zip(batch, one_by_one, strict=True):
        assert answer.scores == pytest.approx(alone.scores, abs=1e-4)


def test_a_light_digit_on_dark_is_read_and_warned_of(client: DigitClient) -> None:
    page = np.full((64, 64), 255, np.uint8)
    page[16:48, 16:48] = IMAGES[0]
    upright, inverted = client.classify(png(page)), client.classify(png(255 - page))
    assert inverted.scores == upright.scores
    assert "inverted" in inverted.warnings
    assert "inverted" not in upright.warnings


def test_a_doubtful_answer_is_warned_of(client: DigitClient) -> None:
    noise = np.random.default_rng(0).choice([0, 255], (20, 32, 32)).astype(np.uint8)
    answers = client.classify_batch(list(noise), model="mlp", version="1")
    doubtful = [answer for answer in answers if (answer.confidence or 0) < 0.5]
    assert doubtful
    assert all("low confidence" in answer.warnings for answer in doubtful)


def test_a_picture_of_no_digit_is_warned_of_where_the_model_knows_the_limit(
    models: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    shutil.copytree(models / "mlp", repository / "mlp")
    manifest = repository / "mlp/1/manifest.json"
    edit_json(manifest, lambda fields: fields.update(warn_below=0.9))
    noise = np.random.default_rng(0).choice([0, 255], (20, 32, 32)).astype(np.uint8)
    flags = ("--low-confidence", "0.1")  # so that the limits are told apart
    with serving(repository, *flags) as running, DigitClient(running.target) as client:
        answers = client.classify_batch([*noise, *IMAGES[:20]])
    warned = ["not a digit?" in answer.warnings for answer in answers]
    assert warned == [(answer.confidence or 0) < 0.9 for answer in answers]
    assert any(warned)
    assert not all(warned)
    assert not any("low confidence" in answer.warnings for answer in answers)


def test_list_models_names_every_version(client: DigitClient) -> None:
    names = [(model.name, model.version) for model in client.list_models()]
    assert ("mlp", "1") in names
    assert ("svm-rbf", "1") in names
    assert names == sorted(names)


def test_the_image_that_the_model_saw_is_given_back_where_asked_for(client: DigitClient) -> None:
    page = np.full((90, 70), 255, np.uint8)
    page[20:52, 10:42] = IMAGES[0]
    for picture, seen in ((png(page), IMAGES[0]), (png(255 - page), IMAGES[0]), (IMAGES[1],) * 2):
        answer = client.classify(picture, return_pixels=True)
        assert answer.pixels is not None
        assert np.array_equal(answer.pixels, seen)
    assert client.classify(png(page)).pixels is None


def test_a_batch_gives_each_image_back_as_its_model_saw_it(stub: DigitServiceStub) -> None:
    images = [pb.Image(encoded=png(255 - IMAGES[0])), pb.Image(pixels=IMAGES[1].tobytes())]
    request = pb.ClassifyBatchRequest(images=images, return_pixels=True)
    seen = [answer.pixels for answer in stub.ClassifyBatch(request, timeout=5).classifications]
    assert seen == [IMAGES[0].tobytes(), IMAGES[1].tobytes()]
    request.return_pixels = False
    reply = stub.ClassifyBatch(request, timeout=5)
    assert not any(answer.pixels for answer in reply.classifications)


async def _classify_async(target: str) -> tuple[int, int, int]:
    async with AsyncDigitClient(target) as client:
        one = await client.classify(IMAGES[3])
        batch = await client.classify_batch(list(IMAGES[:4]))
        seen = [
            await asyncio.gather(
                *(client.classify(image, return_pixels=asked) for image in IMAGES[:8])
            )
            for asked in (True, False)
        ]
        models = await client.list_models()
    for image, shown, plain in zip(IMAGES[:8], *seen, strict=True):
        assert shown.pixels is not None
        assert np.array_equal(shown.pixels, image)
        assert plain.pixels is None
    return one.digit, batch[3].digit, len(models)


def test_the_asyncio_client_answers_as_the_plain_one(
    server: RunningServer, client: DigitClient
) -> None:
    one, in_batch, count = asyncio.run(_classify_async(server.target))
    assert one == in_batch == client.classify(IMAGES[3]).digit
    assert count == len(client.list_models())


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ClassifyRequest(), "image"),
        (pb.ClassifyRequest(image=pb.Image(encoded=b"no picture")), "image.encoded"),
        (pb.ClassifyRequest(image=pb.Image(encoded=b"")), "image.encoded"),
        (pb.ClassifyRequest(image=pb.Image(pixels=bytes(1023))), "image.pixels"),
    ],
)
def test_a_bad_image_is_an_invalid_argument_that_names_its_field(
    stub: DigitServiceStub, request_: pb.ClassifyRequest, field: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(request_, timeout=5)
    assert isinstance(caught.value, grpc.Call)
    status = rpc_status.from_call(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    bad_request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad_request)
    assert bad_request.field_violations[0].field == field


def test_one_bad_image_fails_the_batch_and_is_named(client: DigitClient) -> None:
    with pytest.raises(CallError, match=r"images\[2\]\.encoded") as caught:
        client.classify_batch([IMAGES[0], IMAGES[1], b"no picture"])
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_outside_the_limits_is_refused(client: DigitClient, count: int) -> None:
    with pytest.raises(CallError, match="expected 1 to 1000"):
        client.classify_batch([b"x"] * count)


@pytest.mark.parametrize(("model", "version"), [("mlp", "99"), ("mlp", "x"), ("../mlp", "")])
def test_an_unknown_model_or_version_is_not_found(
    client: DigitClient, model: str, version: str
) -> None:
    with pytest.raises(CallError) as caught:
        client.classify(IMAGES[0], model=model, version=version)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_a_message_over_the_limit_is_refused(client: DigitClient) -> None:
    with pytest.raises(CallError) as caught:
        client.classify(bytes(2 << 20))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def page(side: int) -> bytes:
    """A few kilobytes that unpack to a large square page with a digit on it."""
    pixels = np.full((side, side), 255, np.uint8)
    pixels[: side // 32 * 32, : side // 32 * 32] = (
        IMAGES[0].repeat(side // 32, 0).repeat(side // 32, 1)
    )
    return png(pixels)


def test_a_picture_that_unpacks_to_too_much_is_refused_before_it_is_decoded(
    client: DigitClient,
) -> None:
    bomb = page(4096)
    assert len(bomb) < 100_000
    with pytest.raises(CallError, match="4096×4096; at most 16000000 pixels") as caught:
        client.classify(bomb)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_pictures_that_together_unpack_to_too_much_are_refused(client: DigitClient) -> None:
    large = page(3200)  # 10 million pixels
    assert len(client.classify_batch([large] * 3)) == 3
    with pytest.raises(CallError, match=r"images\[3\]\.encoded: .* over 32000000 pixels") as caught:
        client.classify_batch([large] * 4)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_bytes_that_are_no_message_are_an_invalid_argument(server: RunningServer) -> None:
    with grpc.insecure_channel(server.target) as channel:
        classify = channel.unary_unary("/gurmukhi.v1.DigitService/Classify", None, None)
        with pytest.raises(grpc.RpcError) as caught:
            classify(b"\xff\xff\xff", timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_method_is_unimplemented(server: RunningServer) -> None:
    with grpc.insecure_channel(server.target) as channel:
        for path in ("/gurmukhi.v1.DigitService/Nothing", "/no.Service/Method"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(path, None, None)(b"", timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_stream_answers_in_order_and_survives_a_bad_picture(client: DigitClient) -> None:
    pictures = [IMAGES[0], b"no picture", IMAGES[1], IMAGES[2]]
    first, bad, *rest = client.classify_stream(pictures, timeout_seconds=10)
    assert isinstance(first, Classification)
    assert first.scores == client.classify(IMAGES[0]).scores
    assert isinstance(bad, CallError)
    assert bad.code is grpc.StatusCode.INVALID_ARGUMENT
    for answer, image in zip(rest, IMAGES[1:3], strict=True):
        assert isinstance(answer, Classification)
        assert answer.scores == client.classify(image).scores


def test_the_likeliest_digits_are_listed_where_asked_for(client: DigitClient) -> None:
    for model in ("mlp", "svm-linear"):
        answer = client.classify(IMAGES[0], model=model, top_k=3)
        assert answer.top[0].digit == answer.digit
        assert len({one.digit for one in answer.top}) == 3
        values = [one.probability or one.score for one in answer.top]
        assert values[1:] == sorted(values[1:], reverse=True)
    assert client.classify(IMAGES[0]).top == ()
    with pytest.raises(CallError, match="top_k: is 11"):
        client.classify(IMAGES[0], top_k=11)
