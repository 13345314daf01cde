"""Calls as bytes whose right answers are known, since each version was asked without a server."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gurmukhi.bundle import find_bundles
from gurmukhi.inference import open_inference_grpc_pb2 as oip
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.tensor import to_contents, to_raw
from gurmukhi.v1 import digits_pb2 as pb
from server.model import load_model

IMAGES, _ = synthetic_digits(300, 98)
CLASSIFY: Final = "/gurmukhi.v1.DigitService/Classify"
CLASSIFY_BATCH: Final = "/gurmukhi.v1.DigitService/ClassifyBatch"
CLASSIFY_STREAM: Final = "/gurmukhi.v1.DigitService/ClassifyStream"
LIST_MODELS: Final = "/gurmukhi.v1.DigitService/ListModels"
MODEL_READY: Final = "/inference.GRPCInferenceService/ModelReady"
MODEL_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
STREAM_INFER: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
Key = tuple[str, str]  # a model's name and version


@dataclass(frozen=True, slots=True)
class Question:
    """One call: the method's path, the bytes of its message, and what a right reply is."""

    path: str
    message: bytes
    is_right: Callable[[bytes], bool]
    wire: list[bytes] = field(default_factory=list)  # its frames, made by who sends them


@dataclass(slots=True)
class Truth:
    """What each version says of each image, found without a server."""

    digits: dict[Key, NDArray[np.int64]] = field(default_factory=dict)
    sha256: dict[Key, str] = field(default_factory=dict)

    @classmethod
    def of(cls, models: Path) -> "Truth":
        truth = cls()
        for folder in find_bundles(models):
            model = load_model(folder)
            key = (model.name, model.version)
            truth.digits[key] = model.predict(IMAGES).digits
            truth.sha256[key] = model.sha256
        return truth

    @property
    def keys(self) -> list[Key]:
        return sorted(self.digits)

    def classify_batch(self, key: Key, chosen: list[int]) -> Question:
        """Some images to a version, as raw pixels over DigitService."""
        images = [pb.Image(pixels=IMAGES[index].tobytes()) for index in chosen]
        request = pb.ClassifyBatchRequest(images=images, model=key[0], version=key[1])

        def is_right(data: bytes) -> bool:
            reply = pb.ClassifyBatchResponse.FromString(data)
            found = [one.digit for one in reply.classifications]
            return self._is_named(reply.model, key) and found == self._expected(key, chosen)

        return Question(CLASSIFY_BATCH, request.SerializeToString(), is_right)

    def classify(self, key: Key, index: int) -> Question:
        """An image to a version, as raw pixels over DigitService."""
        return self._classify(key, index, pb.Image(pixels=IMAGES[index].tobytes()))

    def classify_picture(self, key: Key, index: int) -> Question:
        """An image to a version, as a PNG over DigitService."""
        out = io.BytesIO()
        Image.fromarray(IMAGES[index]).save(out, "PNG")
        return self._classify(key, index, pb.Image(encoded=out.getvalue()))

    def _classify(self, key: Key, index: int, image: pb.Image) -> Question:
        request = pb.ClassifyRequest(image=image, model=key[0], version=key[1])

        def is_right(data: bytes) -> bool:
            reply = pb.ClassifyResponse.FromString(data)
            return self._is_named(reply.model, key) and [
                reply.classification.digit
            ] == self._expected(key, [index])

        return Question(CLASSIFY, request.SerializeToString(), is_right)

    def infer(self, key: Key, chosen: list[int], number: str, *, is_raw: bool = True) -> Question:
        """Some images to a version over Open Inference; the reply repeats the number."""
        pixels = IMAGES[chosen]
        request = oip.ModelInferRequest(model_name=key[0], model_version=key[1], id=number)
        tensor = request.inputs.add(name="pixels", datatype="UINT8", shape=pixels.shape)
        request.outputs.add(name="digit")
        if is_raw:
            request.raw_input_contents.append(to_raw(pixels))
        else:
            tensor.contents.CopyFrom(to_contents(pixels))

        def is_right(data: bytes) -> bool:
            return self._is_inferred(oip.ModelInferResponse.FromString(data), key, chosen, number)

        return Question(MODEL_INFER, request.SerializeToString(), is_right)

    def stream_infer(self, key: Key, chosen: list[int], number: str) -> Question:
        """As `infer`, as one message of a stream."""
        message = self.infer(key, chosen, number).message

        def is_right(data: bytes) -> bool:
            reply = oip.ModelStreamInferResponse.FromString(data)
            answer = reply.infer_response
            return not reply.error_message and self._is_inferred(answer, key, chosen, number)

        return Question(STREAM_INFER, message, is_right)

    def classify_stream(self, key: Key, index: int, place: int) -> Question:
        """An image to a version, as the message of a stream at a place in it, from 0."""
        image = pb.Image(pixels=IMAGES[index].tobytes())
        request = pb.ClassifyRequest(image=image, model=key[0], version=key[1])

        def is_right(data: bytes) -> bool:
            reply = pb.ClassifyStreamResponse.FromString(data)
            found = [reply.response.classification.digit]
            return (
                reply.index == place
                and self._is_named(reply.response.model, key)
                and found == self._expected(key, [index])
            )

        return Question(CLASSIFY_STREAM, request.SerializeToString(), is_right)

    def is_ready(self, key: Key) -> Question:
        """Whether a version is served, over Open Inference."""
        request = oip.ModelReadyRequest(name=key[0], version=key[1])

        def is_right(data: bytes) -> bool:
            return oip.ModelReadyResponse.FromString(data).ready

        return Question(MODEL_READY, request.SerializeToString(), is_right)

    def listing(self) -> Question:
        """All versions, over DigitService."""

        def is_right(data: bytes) -> bool:
            models = pb.ListModelsResponse.FromString(data).models
            found = {(one.name, one.version): one.sha256 for one in models}
            return found == self.sha256

        return Question(LIST_MODELS, pb.ListModelsRequest().SerializeToString(), is_right)

    def _expected(self, key: Key, chosen: list[int]) -> list[int]:
        expected: list[int] = self.digits[key][chosen].tolist()
        return expected

    def _is_named(self, model: pb.ModelVersion, key: Key) -> bool:
        return (model.name, model.version, model.sha256) == (*key, self.sha256[key])

    def _is_inferred(
        self, reply: oip.ModelInferResponse, key: Key, chosen: list[int], number: str
    ) -> bool:
        named = (reply.model_name, reply.model_version, reply.id) == (*key, number)
        if not named or not (reply.raw_output_contents or reply.outputs):
            return False
        if reply.raw_output_contents:
            found = np.frombuffer(reply.raw_output_contents[0], np.int64).tolist()
        else:
            found = list(reply.outputs[0].contents.int64_contents)
        return bool(found == self._expected(key, chosen))
