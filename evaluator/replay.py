"""Send a split's images to a model, one a call, and keep what came back."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluator.target import Target
from evaluator.wire import AnswerError
from gurmukhi.errors import CallError
from gurmukhi.labels import CLASS_COUNT

# Calls lost one after the other, each retried: the target is gone, and asking on is a waste.
_GIVE_UP_AFTER = 3


@dataclass(frozen=True, slots=True)
class Replay:
    """Answers on N images; where none came, the digit is −1 and the figures are NaN."""

    digits: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N, 10)
    probabilities: NDArray[np.float32]  # (N, 10), NaN where the model has none
    seconds: NDArray[np.float64]  # (N,) from request to reply, retries included
    lost: dict[int, str] = field(default_factory=dict)  # image -> why its call failed
    malformed: dict[int, str] = field(default_factory=dict)  # image -> what its answer lacks

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(N,) whether a well-formed answer came."""
        return np.asarray(self.digits >= 0)

    @property
    def is_complete(self) -> bool:
        return bool(self.answered.all())


def empty_replay(count: int) -> Replay:
    """A replay of `count` images of which none is answered yet."""
    return Replay(
        np.full(count, -1, np.int64),
        np.full((count, CLASS_COUNT), np.nan, np.float32),
        np.full((count, CLASS_COUNT), np.nan, np.float32),
        np.full(count, np.nan),
    )


def replay_singly(
    target: Target,
    model: str,
    version: str,
    images: NDArray[np.uint8],
    advance: Callable[[], None] = lambda: None,
) -> Replay:
    """Classify each image by a call of its own; stop early where the target is gone."""
    replay = empty_replay(len(images))
    for index in range(len(images)):
        replay_one(target, model, version, images, index, replay)
        advance()
        if all(earlier in replay.lost for earlier in range(index - _GIVE_UP_AFTER + 1, index + 1)):
            for rest in range(index + 1, len(images)):
                replay.lost[rest] = f"not asked after {_GIVE_UP_AFTER} lost calls in a row"
            break
    return replay


def replay_one(
    target: Target,
    model: str,
    version: str,
    images: NDArray[np.uint8],
    index: int,
    replay: Replay,
) -> None:
    """Classify one image of a split and file the answer under its index."""
    replay_batch(target, model, version, images, np.array([index]), replay)


def replay_batch(
    target: Target,
    model: str,
    version: str,
    images: NDArray[np.uint8],
    indices: NDArray[np.int64],
    replay: Replay,
) -> None:
    """Classify images of a split by one call and file the answers under their indices."""
    try:
        answer, seconds = target.infer_timed(model, version, images[indices])
    except CallError as error:
        why = f"{error.code.name}: {error.details}"
        replay.lost.update(dict.fromkeys(map(int, indices), why))
        return
    except AnswerError as error:
        replay.malformed.update(dict.fromkeys(map(int, indices), str(error)))
        return
    replay.digits[indices] = answer.digits
    replay.scores[indices] = answer.scores
    if answer.probabilities is not None:
        replay.probabilities[indices] = answer.probabilities
    replay.seconds[indices] = seconds
