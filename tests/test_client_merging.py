"""The asyncio client merges concurrent calls, and each keeps its own deadline, answer and error."""

import asyncio
import re
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import RunningServer, serving

from gurmukhi.client import AsyncDigitClient, Classification, DigitClient, Merging
from gurmukhi.errors import CallError
from gurmukhi.merging import Ask, Merger
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(64, 23)


@pytest.fixture
def running(models: Path) -> Iterator[RunningServer]:
    """A server of its own for each test, whose calls are counted."""
    with serving(models) as server:
        yield server


def handled(running: RunningServer) -> dict[tuple[str, str], int]:
    """The calls that the server ended, by method and code."""
    with urllib.request.urlopen(f"{running.http}/metrics", timeout=20) as reply:
        text = reply.read().decode()
    found = re.findall(
        r'grpc_server_handled_total\{grpc_code="(\w+)",grpc_method="(\w+)",\S+"\} (\S+)', text
    )
    return {(method, code): int(float(count)) for code, method, count in found if float(count)}


def call(
    running: RunningServer,
    use: Callable[[AsyncDigitClient], Awaitable[Any]],
    **options: Any,
) -> Any:
    async def main() -> Any:
        async with AsyncDigitClient(running.target, timeout_seconds=60, **options) as client:
            await client.list_models()  # connected, so that nothing waits for that
            return await use(client)

    return asyncio.run(main())


def outcomes(*calls: Coroutine[Any, Any, Classification]) -> Awaitable[Any]:
    return asyncio.gather(*calls, return_exceptions=True)


def test_concurrent_calls_go_together_and_answer_as_alone(running: RunningServer) -> None:
    together = call(running, lambda client: outcomes(*map(client.classify, IMAGES)))
    # The first finds its way free, and the others company.
    assert handled(running)["Classify", "OK"] == 1
    assert handled(running)["ClassifyBatch", "OK"] <= 3  # about half of the 64 each
    with DigitClient(running.target) as client:
        alone = [client.classify(image) for image in IMAGES]
    assert [one.digit for one in together] == [one.digit for one in alone]
    assert [one.model for one in together] == [one.model for one in alone]


def test_many_that_keep_company_share_the_calls_that_may_go(running: RunningServer) -> None:
    async def use(client: AsyncDigitClient) -> None:
        for count in (12, 64, 12):
            await outcomes(*map(client.classify, IMAGES[:count]))

    call(running, use)
    # 1 and 11; 32 and 32, one answered while the other is made; 12, too few to share.
    assert handled(running)["Classify", "OK"] == 1
    assert handled(running)["ClassifyBatch", "OK"] == 4


def test_tasks_that_go_on_calling_keep_sharing_the_calls(running: RunningServer) -> None:
    async def use(client: AsyncDigitClient) -> None:
        async def task(image: Any) -> None:
            for _ in range(20):
                await client.classify(image)

        await asyncio.gather(*map(task, IMAGES))

    call(running, use)
    # Two of 32 a turn. The first call goes alone and is back first: were it to go alone ever again
    # beside the 63 others, most of the calls would carry one image.
    calls = handled(running)
    assert calls["Classify", "OK"] <= 3
    assert calls["ClassifyBatch", "OK"] <= 60


def test_one_call_alone_is_a_plain_call_at_once(running: RunningServer) -> None:
    async def one_after_another(client: AsyncDigitClient) -> None:
        for image in IMAGES[:5]:
            await client.classify(image)

    call(running, one_after_another)
    assert handled(running)["Classify", "OK"] == 5
    assert ("ClassifyBatch", "OK") not in handled(running)


def test_calls_of_several_models_each_get_their_own(running: RunningServer) -> None:
    asked = ["mlp", "svm-rbf", "svm-linear"] * 10
    top = [0, 0, 0, 3, 3, 3] * 5

    def use(client: AsyncDigitClient) -> Awaitable[Any]:
        return outcomes(
            *(
                client.classify(image, model=model, version="1", top_k=top_k)
                for image, model, top_k in zip(IMAGES, asked, top, strict=False)
            )
        )

    answers = call(running, use)
    assert [one.model.name for one in answers] == asked
    assert [len(one.top) for one in answers] == top
    with DigitClient(running.target) as client:
        for image, model, answer in zip(IMAGES, asked, answers, strict=False):
            assert client.classify(image, model=model, version="1").digit == answer.digit


def test_a_bad_image_fails_its_own_caller_alone(running: RunningServer) -> None:
    pictures: list[Any] = [*IMAGES[:20]]
    pictures[3] = pictures[11] = b"no picture"
    answers = call(running, lambda client: outcomes(*map(client.classify, pictures)))
    for index, answer in enumerate(answers):
        if index in (3, 11):
            assert isinstance(answer, CallError)
            assert answer.code == grpc.StatusCode.INVALID_ARGUMENT
            assert answer.details.startswith("image.encoded: ")  # as a plain call's
        else:
            assert isinstance(answer, Classification)


def test_an_unknown_model_fails_its_callers_alone(running: RunningServer) -> None:
    def use(client: AsyncDigitClient) -> Awaitable[Any]:
        known = [client.classify(image) for image in IMAGES[:5]]
        return outcomes(*known, *(client.classify(image, model="no") for image in IMAGES[:3]))

    answers = call(running, use)
    assert all(isinstance(one, Classification) for one in answers[:5])
    assert [one.code for one in answers[5:]] == [grpc.StatusCode.NOT_FOUND] * 3
    assert len({id(one) for one in answers[5:]}) == 3  # an error of its own each


def test_a_cancelled_caller_takes_nobody_along(running: RunningServer) -> None:
    async def use(client: AsyncDigitClient) -> list[Any]:
        tasks = [asyncio.create_task(client.classify(image)) for image in IMAGES[:10]]
        await asyncio.sleep(0)
        tasks[0].cancel()  # waiting, or under way
        tasks[7].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = call(running, use)
    gone = [isinstance(one, asyncio.CancelledError) for one in answers]
    assert gone == [index in (0, 7) for index in range(10)]
    assert sum(isinstance(one, Classification) for one in answers) == 8


def test_a_batch_that_all_callers_left_is_cancelled_and_the_client_goes_on(
    running: RunningServer,
) -> None:
    async def use(client: AsyncDigitClient) -> Classification:
        for _ in range(20):  # more than may be under way
            tasks = [asyncio.create_task(client.classify(image)) for image in IMAGES[:3]]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return await client.classify(IMAGES[0])

    assert isinstance(call(running, use), Classification)


def test_each_caller_has_its_own_deadline(running: RunningServer) -> None:
    def use(client: AsyncDigitClient) -> Awaitable[Any]:
        return outcomes(
            client.classify(IMAGES[0]),  # goes at once, and has its deadline from gRPC
            client.classify(IMAGES[1], timeout_seconds=1e-6),
            *map(client.classify, IMAGES[2:6]),
        )

    first, late, *others = call(running, use)
    assert isinstance(first, Classification)
    assert isinstance(late, CallError)
    assert late.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert all(isinstance(one, Classification) for one in others)


def test_batches_are_bounded_in_images_and_bytes(running: RunningServer) -> None:
    bounds = Merging(max_images=8)
    call(running, lambda client: outcomes(*map(client.classify, IMAGES)), merging=bounds)
    assert handled(running)["ClassifyBatch", "OK"] == 8
    bounds = Merging(max_bytes=16 * 1100)  # an image is 1,024 bytes and what frames it
    call(running, lambda client: outcomes(*map(client.classify, IMAGES)), merging=bounds)
    assert handled(running)["ClassifyBatch", "OK"] == 12


def test_a_deadline_holds_whoever_went_in_the_same_turn_of_the_loop() -> None:
    """One call is answered, another given up and a third made at once; then some wait."""

    async def main() -> None:
        loop, gates = asyncio.get_running_loop(), dict[bytes, asyncio.Future[None]]()

        async def send(ask: Ask, images: Sequence[bytes], seconds: float) -> Any:
            gate = gates[images[0]] = loop.create_future()
            await gate
            return images

        merger = Merger("server", send, Merging())

        def begin(image: bytes, seconds: float = 60.0) -> asyncio.Task[Any]:
            return loop.create_task(merger.classify(Ask("mlp", "", 0), image, seconds))

        async def turns() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        tasks = [begin(b"a")]
        await turns()
        tasks.append(begin(b"b"))
        loop.call_soon(tasks[-1].cancel)
        gates[b"a"].set_result(None)
        for image in (b"c", b"d"):
            tasks.append(begin(image))
            await turns()
        late, early = begin(b"f"), begin(b"e", 0.1)
        await turns()
        gates[b"c"].set_result(None)
        with pytest.raises(CallError) as caught:
            await asyncio.wait_for(early, 5)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert not late.done()
        for task in (*tasks, late):
            task.cancel()

    asyncio.run(main())


def test_a_full_queue_refuses_at_once(running: RunningServer) -> None:
    bounds = Merging(max_waiting=10)
    answers = call(running, lambda client: outcomes(*map(client.classify, IMAGES)), merging=bounds)
    assert all(isinstance(one, Classification) for one in answers[:11])  # one under way, ten wait
    assert {one.code for one in answers[11:]} == {grpc.StatusCode.RESOURCE_EXHAUSTED}


def test_a_server_that_takes_small_batches_still_answers(models: Path) -> None:
    with serving(models, "--max-batch-size", "1") as running:
        answers = call(running, lambda client: outcomes(*map(client.classify, IMAGES[:6])))
    assert all(isinstance(one, Classification) for one in answers)


def test_merging_can_be_left_out(running: RunningServer) -> None:
    call(running, lambda client: outcomes(*map(client.classify, IMAGES[:7])), merging=None)
    assert handled(running)["Classify", "OK"] == 7
