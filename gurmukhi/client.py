"""Clients of the digit service, synchronous and for asyncio.

::

    with DigitClient("localhost:8001") as client:
        answer = client.classify(Path("digit.png").read_bytes())
        print(answer.glyph, answer.confidence)
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

import grpc

from gurmukhi.answer import (
    Candidate,
    Classification,
    ModelVersion,
    Picture,
    call_error,
    encode_image,
    make_batch,
    make_request,
    read_model,
    read_outcome,
)
from gurmukhi.channel import channel_options, dial, token_metadata
from gurmukhi.errors import CallError
from gurmukhi.merging import Ask, Merger, Merging
from gurmukhi.v1 import digits_pb2 as pb
from gurmukhi.v1.digits_pb2_grpc import DigitServiceStub

__all__ = [
    "DEFAULT_TARGET",
    "AsyncDigitClient",
    "Candidate",
    "Classification",
    "DigitClient",
    "Merging",
    "ModelVersion",
    "Picture",
]

DEFAULT_TARGET: Final = "localhost:8001"
DEFAULT_TIMEOUT_SECONDS: Final = 5.0
DEFAULT_MERGING: Final = Merging()
_SERVICE: Final = pb.DESCRIPTOR.services_by_name["DigitService"].full_name


class DigitClient:
    """Calls `gurmukhi.v1.DigitService`; close it, or use it in a `with` block.

    `target` may name several servers, as `dns:///name:8001` or `ipv4:10.0.0.1:8001,10.0.0.2:8001`
    do: those that are healthy get the calls in turn, and a call that a stopping server drops is
    tried on another. Every call has a deadline, retries included, and raises CallError when it
    fails. `credentials` dial with TLS; `server_name` is the name in the certificate where it is
    not the target's.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retries: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str = "",
        token: str = "",
    ) -> None:
        self._target = target
        self._timeout = timeout_seconds
        self._metadata = token_metadata(token)
        options = channel_options(retries=retries, server_name=server_name)
        self._channel = dial(target, credentials, options)
        self._stub = DigitServiceStub(self._channel)

    def classify(
        self,
        picture: Picture,
        *,
        model: str = "",
        version: str = "",
        top_k: int = 0,
        return_pixels: bool = False,
        timeout_seconds: float | None = None,
    ) -> Classification:
        """Classify one picture by the newest version of the default model, or as named."""
        request = make_request(picture, model, version, top_k=top_k, return_pixels=return_pixels)
        reply = self._call(self._stub.Classify, request, timeout_seconds)
        return Classification(reply.classification, read_model(reply.model))

    def classify_batch(
        self,
        pictures: Sequence[Picture],
        *,
        model: str = "",
        version: str = "",
        timeout_seconds: float | None = None,
    ) -> list[Classification]:
        """Classify several pictures in one call, in their order."""
        request = make_batch(pictures, model, version)
        reply = self._call(self._stub.ClassifyBatch, request, timeout_seconds)
        answered_by = read_model(reply.model)
        return [Classification(one, answered_by) for one in reply.classifications]

    def classify_stream(
        self,
        pictures: Iterable[Picture],
        *,
        model: str = "",
        version: str = "",
        timeout_seconds: float | None = None,
    ) -> Iterator[Classification | CallError]:
        """Classify pictures over one stream, in their order.

        A picture that is refused gives its CallError in its place; a stream that breaks raises
        one. The deadline is of the whole stream; None is without one.
        """
        requests = (make_request(picture, model, version) for picture in pictures)
        try:
            for reply in self._stub.ClassifyStream(
                requests, timeout=timeout_seconds, metadata=self._metadata
            ):
                yield read_outcome(self._target, reply)
        except grpc.RpcError as error:
            raise call_error(self._target, error) from error

    def list_models(self, *, timeout_seconds: float | None = None) -> list[ModelVersion]:
        """The versions that are served."""
        reply = self._call(self._stub.ListModels, pb.ListModelsRequest(), timeout_seconds)
        return [read_model(entry) for entry in reply.models]

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: Any, request: Any, timeout_seconds: float | None) -> Any:
        timeout = self._timeout if timeout_seconds is None else timeout_seconds
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise call_error(self._target, error) from error


class AsyncDigitClient:
    """DigitClient for asyncio: the same calls, awaited; close it, or use it in `async with`.

    Concurrent calls of `classify` are merged into batches, each with its own deadline, answer and
    error; nothing waits for company. `merging` bounds them, None sends each alone.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retries: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str = "",
        token: str = "",
        merging: Merging | None = DEFAULT_MERGING,
    ) -> None:
        self._target = target
        self._timeout = timeout_seconds
        self._metadata = token_metadata(token)
        options = channel_options(retries=retries, server_name=server_name)
        self._channel = (
            grpc.aio.secure_channel(target, credentials, options)
            if credentials
            else grpc.aio.insecure_channel(target, options)
        )
        self._stub = DigitServiceStub(self._channel)
        # Methods of what is encoded already: images are, each once, before they are merged.
        self._classify, self._classify_batch = (
            self._channel.unary_unary(
                f"/{_SERVICE}/{name}",
                request_serializer=None,
                response_deserializer=reply_type.FromString,
            )
            for name, reply_type in (
                ("Classify", pb.ClassifyResponse),
                ("ClassifyBatch", pb.ClassifyBatchResponse),
            )
        )
        self._merger = Merger(target, self._send, merging) if merging else None

    async def classify(
        self,
        picture: Picture,
        *,
        model: str = "",
        version: str = "",
        top_k: int = 0,
        return_pixels: bool = False,
        timeout_seconds: float | None = None,
    ) -> Classification:
        """Classify one picture by the newest version of the default model, or as named."""
        ask, image = Ask(model, version, top_k, return_pixels), encode_image(picture)
        timeout = self._timeout if timeout_seconds is None else timeout_seconds
        if self._merger:
            return await self._merger.classify(ask, image, timeout)
        (answer,) = await self._send(ask, [image], timeout)
        return answer

    async def classify_batch(
        self, pictures: Sequence[Picture], *, model: str = "", version: str = ""
    ) -> list[Classification]:
        """Classify several pictures in one call, in their order."""
        reply = await self._call(self._stub.ClassifyBatch, make_batch(pictures, model, version))
        answered_by = read_model(reply.model)
        return [Classification(one, answered_by) for one in reply.classifications]

    async def classify_stream(
        self,
        pictures: Iterable[Picture],
        *,
        model: str = "",
        version: str = "",
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[Classification | CallError]:
        """As DigitClient.classify_stream."""
        requests = (make_request(picture, model, version) for picture in pictures)
        try:
            async for reply in self._stub.ClassifyStream(
                requests, timeout=timeout_seconds, metadata=self._metadata
            ):
                yield read_outcome(self._target, reply)
        except grpc.RpcError as error:
            raise call_error(self._target, error) from error

    async def list_models(self) -> list[ModelVersion]:
        """The versions that are served."""
        reply = await self._call(self._stub.ListModels, pb.ListModelsRequest())
        return [read_model(entry) for entry in reply.models]

    async def close(self) -> None:
        """Close the channel; calls under way fail."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _send(
        self, ask: Ask, images: Sequence[bytes], timeout_seconds: float
    ) -> list[Classification]:
        body = b"".join([*images, _encode_ask(ask)])
        if len(images) == 1:
            reply = await self._call(self._classify, body, timeout_seconds)
            return [Classification(reply.classification, read_model(reply.model))]
        reply = await self._call(self._classify_batch, body, timeout_seconds)
        answered_by = read_model(reply.model)
        return [Classification(one, answered_by) for one in reply.classifications]

    async def _call(self, method: Any, request: Any, timeout_seconds: float | None = None) -> Any:
        timeout = self._timeout if timeout_seconds is None else timeout_seconds
        try:
            return await method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise call_error(self._target, error) from error


@lru_cache(maxsize=64)
def _encode_ask(ask: Ask) -> bytes:
    return pb.ClassifyRequest(**ask._asdict()).SerializeToString()
