"""Make probabilities mean what they say: multinomial Platt scaling, and how well it does.

A model's features for an image are one or more values a class; its probabilities are the softmax
of their sum, each weighted by a slope. An MLP has one feature, its log-probabilities, and the slope
is one over the temperature (Guo et al., "On Calibration of Modern Neural Networks", 2017); an SVM
has two, its votes and its sums of decision values. Slopes are positive, so that no calibration
turns an order around, and they are fitted to images that the model was not fitted to.

Where a model says how far it trusts that a picture is a digit at all, that share of its
probabilities is the softmax, and the rest is divided among all classes alike.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gurmukhi.labels import CLASS_COUNT

Features = NDArray[np.float64]  # (M, N, 10)
Trust = NDArray[np.float64]  # (N,) from 0, surely no digit, to 1

BINS: Final = 15  # of equal width, as is usual for the figure
_STEPS: Final = 100  # of a quasi-Newton search in at most two dimensions, which needs a dozen


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often answers of each confidence are right."""

    error: float  # ECE: the mean of |accuracy − confidence| over the answers
    log_loss: float
    counts: list[int]  # (15,) answers in each bin of confidence
    confidences: list[float]  # (15,) their mean confidence, 0 where there is none
    accuracies: list[float]  # (15,) the share of them that is right

    def record(self) -> dict[str, Any]:
        """As it is written into JSON."""
        return asdict(self)


def fit_slopes(
    features: Features, labels: NDArray[np.int64], trust: Trust | None = None
) -> tuple[float, ...]:
    """(M,) the positive slopes under which the true labels are most probable.

    A prior as weak as one image keeps them finite where no label is wrong. (Platt's smoothed
    targets would lower the confidence of all answers far below their accuracy.)
    """
    values = torch.from_numpy(np.ascontiguousarray(features))
    targets = torch.from_numpy(labels)[:, None]
    shares = torch.ones(len(labels), 1) if trust is None else torch.from_numpy(trust)[:, None]
    # One over the spread of a feature is a slope of the right order to begin with.
    start = -values.std(dim=(1, 2)).log()
    logs = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logs], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = (values * logs.exp()[:, None, None]).sum(dim=0)
        prior = ((logs - start) ** 2).sum() / (2 * len(targets))
        likely = logits.log_softmax(dim=1).gather(1, targets)
        rest = ((1 - shares) / CLASS_COUNT).log()  # −∞ where there is none
        value = prior - torch.logaddexp(likely + shares.log(), rest).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return tuple(logs.detach().exp().tolist())


def scale(
    features: Features, slopes: Sequence[float], trust: Trust | None = None
) -> NDArray[np.float64]:
    """(N, 10) probabilities."""
    logits = np.tensordot(np.array(slopes), features, axes=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = np.asarray(powers / powers.sum(axis=1, keepdims=True))
    if trust is None:
        return softmax
    return np.asarray((softmax - 1 / CLASS_COUNT) * trust[:, None] + 1 / CLASS_COUNT)


def scale_out_of_fold(
    features: Features,
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    trust: Trust | None = None,
) -> NDArray[np.float64]:
    """(N, 10) probabilities, those of each fold by slopes fitted to the other folds."""
    probabilities = np.empty(features.shape[1:])
    for fold in np.unique(folds):
        mine = folds == fold
        others = None if trust is None else trust[~mine]
        slopes = fit_slopes(features[:, ~mine], labels[~mine], others)
        probabilities[mine] = scale(
            features[:, mine], slopes, None if trust is None else trust[mine]
        )
    return probabilities


def measure_reliability(
    probabilities: NDArray[np.floating[Any]],  # (N, 10)
    predictions: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> Reliability:
    """Compare the probability of each predicted digit with how often it is right."""
    images = np.arange(len(labels))
    confidence = probabilities[images, predictions].astype(np.float64)
    right = predictions == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    divisors = np.maximum(counts, 1)
    confidences = np.bincount(bins, confidence, minlength=BINS) / divisors
    accuracies = np.bincount(bins, right, minlength=BINS) / divisors
    error = (counts * np.abs(confidences - accuracies)).sum() / len(labels)
    likely = np.maximum(probabilities[images, labels].astype(np.float64), np.finfo(float).tiny)
    return Reliability(
        error=float(error),
        log_loss=float(-np.log(likely).mean()),
        counts=counts.tolist(),
        confidences=confidences.tolist(),
        accuracies=accuracies.tolist(),
    )
