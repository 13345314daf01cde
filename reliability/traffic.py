"""Mixed traffic that costs its sender little, so that two cores are the server's to use.

Calls are made once, as bytes, and sent again and again, many under way from one thread. A reply is
held against the truth when it is first seen; one that has the same bytes as an earlier right one
is as right as that.
"""

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from gurmukhi.inference import open_inference_grpc_pb2 as oip
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from reliability.cases import Case, cases
from reliability.questions import IMAGES, Question, Truth
from reliability.raw_channel import RawChannel

_QUESTIONS: Final = 600
_BATCHES: Final = (2, 4, 7, 32)
_CONNECTIONS: Final = 8  # of each process; the kernel deals them out to workers
_WINDOW: Final = 3  # calls under way on each
_TIMEOUT_SECONDS: Final = 20.0
_SHORT_SECONDS: Final = 0.005  # a deadline that many calls pass under such a load
_DEADLINE_PAUSE_SECONDS: Final = 0.02
_STREAM_MESSAGES: Final = 50
_STREAM_PAUSE_SECONDS: Final = 0.5
_RELOAD_SECONDS: Final = 5.0
_BAD_CASES: Final = 2000
_BAD_PAUSE_SECONDS: Final = 0.01


def bad_input() -> Sequence[Case]:
    """Calls that no sound client would make; some seconds' work."""
    return list(itertools.islice(cases(seed=9), _BAD_CASES))


class Traffic:
    """Senders to one server, each a method for a thread of its own, and what they were told."""

    def __init__(self, target: str, truth: Truth, seed: int) -> None:
        self.counts: Counter[str] = Counter()  # of what was sent, by its kind
        self.wrong: Counter[str] = Counter()
        self.stopped = threading.Event()
        self._truth = truth
        self._rng = random.Random(seed)
        self._right: dict[int, bytes] = {}  # by the identity of a question, which is kept
        self._target = target
        self._others = grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])

    def until_stopped(self, sender: Callable[..., None], *arguments: object) -> None:
        """Send; what breaks off before it is stopped is something wrong."""
        try:
            sender(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever a service that was broken does to it
            self.wrong[f"{sender.__name__} broke off: {type(error).__name__}: {error}"[:200]] += 1

    def close(self) -> None:
        """Close the connection."""
        self._others.close()

    def call(self) -> None:
        """Ask over both APIs, all versions, alone and in batches, as fast as answers come."""
        questions = [self._ask(number) for number in range(_QUESTIONS)]

        def choose() -> Question:
            return questions[int(self._rng.random() * _QUESTIONS)]

        with RawChannel(self._target, _CONNECTIONS, _WINDOW) as channel:
            while not self.stopped.is_set():
                for question, reply in channel.exchange(choose):
                    self.counts["calls"] += 1
                    self._hold(question, reply)

    def call_with_deadlines(self) -> None:
        """Ask by gRPC's own library, every other time with a deadline that is hard to keep."""
        questions = [self._ask(number) for number in range(_QUESTIONS)]
        methods = _Methods(self._others)
        for is_short in itertools.cycle((False, True)):
            if self.stopped.wait(_DEADLINE_PAUSE_SECONDS):
                return
            question = self._rng.choice(questions)
            seconds = _SHORT_SECONDS if is_short else _TIMEOUT_SECONDS
            future = methods.of(question.path).future(question.message, timeout=seconds)
            code = future.code().name
            if code == "OK":
                self.counts["calls"] += 1
                self._hold(question, future.result())
            elif is_short and code == "DEADLINE_EXCEEDED":
                self.counts["passed deadlines"] += 1
            else:
                self.wrong[f"{question.path}: {code}"] += 1

    def stream(self) -> None:
        """Ask over the streams of both APIs."""
        streams = [self._ask_stream(index) for index in range(10)]
        methods = _Methods(self._others)
        for questions in itertools.cycle(streams):
            if self.stopped.wait(_STREAM_PAUSE_SECONDS):
                return
            method = methods.of_stream(questions[0].path)
            messages = iter([question.message for question in questions])
            replies = list(method(messages, timeout=_TIMEOUT_SECONDS))
            if len(replies) != len(questions):
                self.wrong[f"{questions[0].path}: {len(replies)} replies"] += 1
            for question, reply in zip(questions, replies, strict=False):
                self._hold(question, reply)
                self.counts["messages of streams"] += 1

    def send_bad_input(self, bad: Sequence[Case]) -> None:
        """Send calls that no sound client would make."""
        methods = _Methods(self._others)
        for case in itertools.cycle(bad):
            if self.stopped.wait(_BAD_PAUSE_SECONDS):
                return
            future = methods.of(case.path).future(case.message, timeout=_TIMEOUT_SECONDS)
            code = future.code().name
            self.counts["bad calls"] += 1
            # Models are loaded by call here, and there is none of such a name.
            is_load = case.path.endswith("/RepositoryModelLoad")
            if code not in ({"NOT_FOUND"} if is_load else case.expected):
                self.wrong[f"{case.path}: {code}"] += 1

    def reload(self, models: Path) -> None:
        """Load versions again, one after another, as if their files were new."""
        stub = GRPCInferenceServiceStub(self._others)
        due = time.monotonic()
        for name, version in itertools.cycle(self._truth.keys):
            due += _RELOAD_SECONDS
            if self.stopped.wait(max(0.0, due - time.monotonic())):
                return
            os.utime(models / name / version / "manifest.json")  # else it stays as it is
            stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name=name), timeout=60)
            self.counts["reloads"] += 1

    def _hold(self, question: Question, reply: bytes) -> None:
        if self._right.get(id(question)) == reply:
            return
        if question.is_right(reply):
            self._right[id(question)] = reply
        else:
            self.wrong[question.path] += 1

    def _ask(self, number: int) -> Question:
        key, chosen = self._choose(self._rng.choice(_BATCHES))
        match number % 24:
            case 0:
                return self._truth.is_ready(key)
            case 1:
                return self._truth.listing()
            case 2:
                return self._truth.classify_picture(key, chosen[0])
            case 3:
                return self._truth.infer(key, chosen[:1], str(number), is_raw=False)
            case 4 | 5:
                return self._truth.infer(key, chosen, str(number))
            case 6 | 7 | 8:
                return self._truth.classify_batch(key, chosen)
            case 9 | 10 | 11 | 12 | 13 | 14 | 15:
                return self._truth.classify(key, chosen[0])
            case _:
                return self._truth.infer(key, chosen[:1], str(number))

    def _ask_stream(self, index: int) -> Sequence[Question]:
        questions = []
        for place in range(_STREAM_MESSAGES):
            key, chosen = self._choose(self._rng.choice(_BATCHES))
            if index % 2:
                questions.append(self._truth.stream_infer(key, chosen, f"{index}-{place}"))
            else:
                questions.append(self._truth.classify_stream(key, chosen[0], place))
        return questions

    def _choose(self, count: int) -> tuple[tuple[str, str], list[int]]:
        chosen = [self._rng.randrange(len(IMAGES)) for _ in range(count)]
        return self._rng.choice(self._truth.keys), chosen


class _Methods:
    """The methods of a channel, bytes in and out, each made once."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._made: dict[str, Any] = {}

    def of(self, path: str) -> Any:
        if path not in self._made:
            self._made[path] = self._channel.unary_unary(path, None, None)
        return self._made[path]

    def of_stream(self, path: str) -> Any:
        if path not in self._made:
            self._made[path] = self._channel.stream_stream(path, None, None)
        return self._made[path]
