"""A request that was prepared says what it says when it is read, whatever bytes it has."""

import gc
import resource
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gurmukhi.inference import open_inference_grpc_pb2 as inference
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.v1 import digits_pb2 as digits
from server import prepared_requests
from server.digit_service import DigitService
from server.digit_service import _pixels_of as pixels_of_picture
from server.digit_service import _put_pixels as put_picture
from server.inference_input import pixels_of, put_pixels, read_images
from server.inference_output import RawWriter, respond, wanted_outputs
from server.metrics import ServerMetrics
from server.model import load_model
from server.predictor import Predictor
from server.prepared_requests import Prepared, PreparedRequests
from server.service import Method, encode

IMAGES, _ = synthetic_digits(8, 3)


def _itself(request: Any) -> Any:
    return request


def tensors() -> PreparedRequests:
    return PreparedRequests(
        inference.ModelInferRequest, partial(pixels_of, max_images=1000), put_pixels, keep=_itself
    )


def pictures() -> PreparedRequests:
    return PreparedRequests(digits.ClassifyRequest, pixels_of_picture, put_picture, keep=_itself)


def tensor(images: Any, name: str = "mlp", **fields: Any) -> inference.ModelInferRequest:
    request = inference.ModelInferRequest(model_name=name, **fields)
    request.inputs.add(name="pixels", datatype="UINT8", shape=images.shape)
    request.raw_input_contents.append(images.tobytes())
    return request


def test_a_second_request_is_read_by_its_pixels_alone() -> None:
    reader = tensors()
    first, second = (tensor(IMAGES[at : at + 3]).SerializeToString() for at in (0, 3))
    assert isinstance(reader.parse(first), inference.ModelInferRequest)
    found = reader.parse(second)
    assert isinstance(found, Prepared)
    assert np.array_equal(found.pixels, IMAGES[3:6])
    assert found.asked.model_name == "mlp"
    assert found.asked.raw_input_contents == [b""]


def test_a_picture_has_fields_on_either_side_of_its_pixels() -> None:
    reader = pictures()
    for model in ("mlp", "svm"):  # of one length
        for image in IMAGES[:2]:
            request = digits.ClassifyRequest(
                image=digits.Image(pixels=image.tobytes()), model=model, version="2"
            )
            found = reader.parse(request.SerializeToString())
        assert isinstance(found, Prepared)
        assert (found.asked.model, found.asked.version) == (model, "2")
        assert np.array_equal(found.pixels[0], IMAGES[1])


@pytest.mark.parametrize(
    "request_",
    [
        tensor(IMAGES[:1], id="1"),
        tensor(IMAGES[:1], parameters={"a": inference.InferParameter(bool_param=True)}),
        tensor(IMAGES[:0]),
        tensor(IMAGES.reshape(4, 2, 32, 32)),
        tensor(np.zeros((1001, 32, 32), np.uint8)),
    ],
    ids=["id", "parameters", "no image", "shape", "too many"],
)
def test_what_may_be_refused_or_is_other_each_time_is_read_each_time(
    request_: inference.ModelInferRequest,
) -> None:
    reader = tensors()
    for _ in range(2):
        assert reader.parse(request_.SerializeToString()) == request_


@pytest.mark.parametrize("decoy", ["unknown field", "name", "an earlier field"])
def test_equal_bytes_elsewhere_are_not_taken_for_pixels(
    decoy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared_requests, "_AROUND_BYTES", 4096)
    pixels = bytes(range(65, 97)) * 32  # also a text
    request = digits.ClassifyRequest(image=digits.Image(pixels=pixels))
    if decoy == "name":
        # In another order than a writer's: the name comes first, and holds the same bytes.
        first = digits.ClassifyRequest(model=pixels.decode())
    elif decoy == "an earlier field":
        first = digits.ClassifyRequest(image=digits.Image(pixels=pixels))
    else:
        first = digits.ClassifyRequest.FromString(b"\xa2\x06\x80\x08" + pixels)
    parts = first.SerializeToString(), request.SerializeToString()
    for data in (b"".join(parts), b"".join(reversed(parts))):
        reader = pictures()
        others = [pixels.lower().join(split(pixels, 1)) for split in (data.split, data.rsplit)]
        for part in (data, *others, data):
            assert in_full(reader.parse(part)) == digits.ClassifyRequest.FromString(part)


def in_full(found: Any) -> Any:
    """The message that a request is, prepared or not."""
    if not isinstance(found, Prepared):
        return found
    request = digits.ClassifyRequest()
    request.CopyFrom(found.asked)
    request.image.pixels = found.pixels.tobytes()
    return request


def test_pixels_that_are_like_the_length_before_them_are_not_found_too_early() -> None:
    """1024 is 80 08, so that many 08 seem to begin a byte before the first pixel."""
    reader = pictures()
    for pixels in (b"\x08" * 1024, b"\x01" * 1023 + b"\x08"):
        request = digits.ClassifyRequest(image=digits.Image(pixels=pixels))
        assert in_full(reader.parse(request.SerializeToString())) == request


def test_bytes_that_are_no_message_are_refused_where_others_are_known() -> None:
    reader = tensors()
    data = tensor(IMAGES[:1]).SerializeToString()
    reader.parse(data)
    broken = b"\xff" * 10 + data[10:]
    with pytest.raises(DecodeError):
        reader.parse(broken)


def test_few_are_kept() -> None:
    reader = tensors()
    for name in "abcdefghijklmnopqrst":
        reader.parse(tensor(IMAGES[:1], name).SerializeToString())
    assert [len(known) for known in reader._known.values()] == [16]
    assert isinstance(reader.parse(tensor(IMAGES[:1], "t").SerializeToString()), Prepared)
    assert not isinstance(reader.parse(tensor(IMAGES[:1], "a").SerializeToString()), Prepared)
    for length in range(1, 400):
        reader.parse(tensor(IMAGES[:1], "a" * length).SerializeToString())
    assert len(reader._known) == 256
    long = tensor(IMAGES[:1], "a" * 1000).SerializeToString()
    assert reader.parse(long) == reader.parse(long)


@settings(max_examples=30)
@given(st.data())
def test_any_message_says_the_same_as_when_it_is_read(data: st.DataObject) -> None:
    """Messages of a few parts, in any order and more than once, some cut or changed."""
    rows = [b"\x00" * 1024, b"\x08" * 1024, IMAGES[0].tobytes()]
    images = st.builds(
        lambda pixels: digits.ClassifyRequest(image=digits.Image(pixels=pixels)),
        st.sampled_from(rows),
    )
    others = st.sampled_from(
        [
            digits.ClassifyRequest(model="mlp"),
            digits.ClassifyRequest(top_k=3),
            digits.ClassifyRequest(model=(b"\x08" * 1024).decode()),
            digits.ClassifyRequest(image=digits.Image(encoded=b"\x00" * 1024)),
        ]
    )
    parts = st.lists(images | others, min_size=1, max_size=4)
    reader = pictures()
    for _ in range(4):
        message = b"".join(one.SerializeToString() for one in data.draw(parts))
        for other in (message, *(message.replace(row, rows[2]) for row in rows[:2])):
            try:
                expected = digits.ClassifyRequest.FromString(other)
            except DecodeError:
                with pytest.raises(DecodeError):
                    reader.parse(other)
                continue
            assert in_full(reader.parse(other)) == expected


@pytest.mark.parametrize("name", ["mlp", "svm-rbf"])
@pytest.mark.parametrize("outputs", [(), ("scores", "digit")])
def test_an_answer_in_bytes_is_the_message(
    models: Path, name: str, outputs: tuple[str, ...]
) -> None:
    model = load_model(models / name / "1")
    request = tensor(IMAGES, name)
    for output in outputs:
        request.outputs.add(name=output)
    pixels = read_images(request, None, 1000).pixels  # type: ignore[arg-type]  # nothing to decode
    prediction, wanted = model.predict(pixels), wanted_outputs(request, model)
    message = respond(request, model, prediction, wanted, ())
    writer = RawWriter(model, wanted, model.predict(pixels[::-1]))
    assert writer.write(prediction) == message.SerializeToString()


def test_an_answer_is_that_of_the_model_that_gives_it_whatever_answered_before(
    models: Path,
) -> None:
    """The default may be of the same version and file by another name, or warn otherwise."""
    first, second, third = (load_model(models / "mlp" / "1") for _ in range(3))
    second.name = "copy"
    third.manifest = replace(third.manifest, warn_below=1.1)
    found = [first, first, second, third]
    repository = SimpleNamespace(find=lambda name, version: found.pop(0))
    service = DigitService(
        repository,  # type: ignore[arg-type]  # all that is asked of it
        Predictor(ServerMetrics(CollectorRegistry())),
        max_batch_size=1,
        low_confidence=0.0,
    )
    method = service.methods["Classify"]
    assert isinstance(method, Method)
    assert method.parse
    call = SimpleNamespace(deadline=None, queued_seconds=None, is_cancelled=lambda: False)
    image = digits.Image(pixels=IMAGES[0].tobytes())
    data = digits.ClassifyRequest(image=image).SerializeToString()
    answers = [
        digits.ClassifyResponse.FromString(encode(method.handle(method.parse(data), call)))
        for _ in range(4)
    ]
    assert [answer.model.name for answer in answers] == ["mlp", "mlp", "copy", "mlp"]
    assert answers[0].classification == answers[1].classification == answers[2].classification
    assert answers[3].classification.warnings == [digits.WARNING_NOT_A_DIGIT]


def test_no_pixels_are_kept() -> None:
    """A message holds on to what it has had; 200 of 256 images would be a hundred megabytes."""
    reader, images = tensors(), np.zeros((256, 32, 32), np.uint8)
    before = resident_bytes()
    for index in range(200):
        reader.parse(tensor(images, f"{'a' * (index // 10)}{index:3}").SerializeToString())
    assert resident_bytes() - before < 30e6
    assert sum(map(len, reader._known.values())) == 200


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_pixels_are_looked_for_at_two_places_alone() -> None:
    """A message made to be searched for long: its pixels begin like what is before them."""
    tag = b"\x3a\x80\x80\x10"
    pixels = tag * (64 * 1024 - 1) + b"\x3a\x80\x20\x10"  # one byte is other
    plain = tensor(np.frombuffer(pixels, np.uint8).reshape(256, 32, 32)).SerializeToString()
    before = plain[: -len(tag) - len(pixels)]
    assert plain == before + tag + pixels
    unknown = b"\xa2\x06\xb8\x03" + tag * 110
    least = []
    for data in (plain, before + unknown + tag + pixels):
        seconds = []
        for _ in range(5):
            reader = tensors()
            started = time.thread_time()
            reader.parse(data)
            seconds.append(time.thread_time() - started)
        least.append(min(seconds))
    assert least[1] < 5 * least[0]
