"""`gurmukhi-serve` with dynamic batching, which it does not have: to measure what that would bring.

Calls wait in their threads while one thread takes all that have gathered, up to 64 images, runs the
graph once, and hands out the rows. `MICROBATCH_SECONDS` in the environment is how long it waits for
more after the first, as Triton's `max_queue_delay_microseconds`.
"""

import os
import queue
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import server.process
from server.__main__ import main
from server.metrics import ServerMetrics
from server.model import Model, Prediction
from server.predictor import Attempt, Predictor
from server.service import Call, ensure_awaited
from server.steps import Steps

_MOST: Final = 64

Waiting = tuple[Model, NDArray[np.uint8], "Future[Prediction]"]


class BatchingPredictor(Predictor):
    """Runs what has gathered from all threads by one thread."""

    def __init__(self, metrics: ServerMetrics) -> None:
        super().__init__(metrics)
        self._delay = float(os.environ.get("MICROBATCH_SECONDS", "0"))
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="batcher", daemon=True).start()

    def attempt(self, model: Model, call: Call) -> Attempt:
        return _BatchedAttempt(model, call, self._metrics.model(model), self._waiting)

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            if self._delay:
                time.sleep(self._delay)
            while len(batch) < _MOST and not self._waiting.empty():
                batch.append(self._waiting.get())
            for model in {one[0] for one in batch}:
                _answer(model, [one for one in batch if one[0] is model])


def _answer(model: Model, batch: list[Waiting]) -> None:
    whole = model.predict(np.concatenate([pixels for _, pixels, _ in batch]))
    start = 0
    for _, pixels, answer in batch:
        rows = slice(start, start := start + len(pixels))
        likely = whole.probabilities
        answer.set_result(
            Prediction(
                whole.digits[rows], whole.scores[rows], None if likely is None else likely[rows]
            )
        )


class _BatchedAttempt(Attempt):
    __slots__ = ("_waiting",)

    def __init__(
        self, model: Model, call: Call, metrics: Any, waiting: "queue.SimpleQueue[Waiting]"
    ) -> None:
        super().__init__(model, call, metrics)
        self._waiting = waiting

    def predict(self, pixels: NDArray[np.uint8]) -> Steps[Prediction]:
        ensure_awaited(self._call)
        yield None  # its thread has no other call meanwhile
        self._read = time.perf_counter()
        answer: Future[Prediction] = Future()
        self._waiting.put((self._model, pixels, answer))
        prediction = answer.result()
        self._ran = time.perf_counter()
        self._metrics.observe(prediction, self._ran - self._read)
        return prediction


if __name__ == "__main__":
    vars(server.process)["Predictor"] = BatchingPredictor  # in its place
    sys.exit(main())
