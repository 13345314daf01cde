"""Fitted models as the rest of the trainer sees them: answers, and a graph to export."""

from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from trainer import calibration, mlp_graph, svm
from trainer.doubt import Doubt
from trainer.mlp_graph import export_mlp
from trainer.svc_graph import export_svc
from trainer.svm import FittedSVM

# Images of each call on which an SVC's own `predict` is held against its decision values.
_CHECKED: Final = 200


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of N images."""

    digits: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N, 10)
    probabilities: NDArray[np.float32] | None = None  # (N, 10), where the model has them


class Model(Protocol):
    """A fitted model in the library that it was fitted with: the native one."""

    @property
    def score_tolerance(self) -> float:
        """How far the exported graph's scores may lie from the native ones."""
        ...

    @property
    def near_tie_margin(self) -> float:
        """Two best scores closer than this may trade places; 0 where the graph must be exact."""
        ...

    def answer(self, images: NDArray[np.uint8]) -> Answers:
        """Classify (N, 32, 32) images."""
        ...

    def export(self) -> onnx.ModelProto:
        """Convert to an ONNX graph that takes raw pixels."""
        ...


@dataclass(frozen=True, slots=True)
class MLPModel:
    """A trained network; scores are log-probabilities."""

    network: torch.nn.Sequential

    # float32 sums in another order: 6e-6 is the most that was seen, and 1.1e-5 the smallest
    # margin between two best scores, in 9,178 images.
    score_tolerance: ClassVar[float] = 1e-4
    near_tie_margin: ClassVar[float] = 2e-5

    def answer(self, images: NDArray[np.uint8]) -> Answers:
        with torch.inference_mode():
            scores = self.network(mlp_graph.scale_pixels(torch.from_numpy(images)))
        return Answers(scores.argmax(dim=1).numpy(), scores.numpy(), scores.exp().numpy())

    def export(self) -> onnx.ModelProto:
        return export_mlp(self.network)


@dataclass(frozen=True, slots=True)
class SVMModel:
    """A fitted SVC; scores are its one-vs-rest decision values, votes and confidences."""

    fitted: FittedSVM
    slopes: tuple[float, ...] | None = None  # of a calibrated machine's votes and sums
    doubt: Doubt | None = None  # makes probabilities alike for what is no digit

    # Scores are float64 until they are handed out as float32: 5e-7 was seen.
    score_tolerance: ClassVar[float] = 1e-5
    near_tie_margin: ClassVar[float] = 0.0

    def answer(self, images: NDArray[np.uint8]) -> Answers:
        """Classify (N, 32, 32) images.

        libsvm computes the 45 decision values of an image once; `predict` and
        `decision_function` would have it do so twice. Raises RuntimeError where its own labels
        are not those that follow from them.
        """
        decisions = self.fitted.pair_decisions(images)
        digits = svm.vote(decisions)
        if not np.array_equal(self.fitted.predict(images[:_CHECKED]), digits[:_CHECKED]):
            raise RuntimeError("the labels of SVC.predict do not follow from its decision values")
        scores = svm.one_vs_rest(decisions).astype(np.float32)
        if self.slopes is None:
            return Answers(digits, scores)
        trust = None if self.doubt is None else self.doubt.trust(decisions)
        probabilities = calibration.scale(svm.features(decisions), self.slopes, trust)
        return Answers(digits, scores, probabilities.astype(np.float32))

    def export(self) -> onnx.ModelProto:
        return export_svc(self.fitted, self.slopes, self.doubt)
