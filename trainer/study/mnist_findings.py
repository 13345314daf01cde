"""Say in words what loss, rate and depth do on MNIST, from the numbers of a study."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log

import numpy as np

from gurmukhi.labels import CLASS_COUNT
from trainer.study.mnist_result import RowResult

Numbered = Mapping[int, RowResult]


def describe_findings(results: Sequence[RowResult]) -> list[str]:
    """A paragraph on each of loss, rate, width and depth, as far as their rows are there."""
    rows = {result.row.number: result for result in results}
    paragraphs = []
    for needed, describe in (
        ({1, 4}, _same_loss),
        ({1, 3}, _divergence),
        ({1, 2}, _square_error),
        ({1, 6}, _rate),
        ({5}, _diverged),
        ({6, 7, 8, 9}, _width),
        ({6, 7, 9, 10, 11}, _depth),
    ):
        if needed <= rows.keys():
            paragraphs.append(describe(rows))
    return paragraphs


def _same_loss(rows: Numbered) -> str:
    nll, entropy = rows[1], rows[4]
    same = sum(
        int((a.predictions == b.predictions).sum())
        for a, b in zip(nll.outcomes, entropy.outcomes, strict=True)
    )
    total = sum(len(outcome.predictions) for outcome in nll.outcomes)
    return (
        f"NLL and cross-entropy are one loss here: the output is a log-softmax already, and taking "
        f"it twice changes nothing. The rows 1 and 4 give the same label on {same:,} of "
        f"{total:,} answers ({percent(nll)} and {percent(entropy)})."
    )


def _divergence(rows: Numbered) -> str:
    nll, kl = rows[1], rows[3]
    return (
        f"The KL divergence, averaged over all elements, is the NLL divided by {CLASS_COUNT}, and "
        f"so are its gradients: it trains as NLL would at a rate of "
        f"{kl.row.config.learning_rate / CLASS_COUNT:g}. It is {_change(nll, kl)} "
        f"({percent(kl)}); multiplied by {CLASS_COUNT}, its loss ends at "
        f"{CLASS_COUNT * kl.outcomes[0].losses[-1]:.4f}, where NLL's ends at "
        f"{nll.outcomes[0].losses[-1]:.4f}."
    )


def _square_error(rows: Numbered) -> str:
    nll, mse = rows[1], rows[2]
    losses = mse.outcomes[0].losses
    return (
        f"The square error is taken of log-probabilities, which are never above 0, against targets "
        f"of 0 and 1, so it cannot vanish: it only falls from {losses[0]:.3f} to {losses[-1]:.3f}. "
        f"What it wants of the wrong classes, a log-probability of 0, works against what it wants "
        f"of the right one. It is {_change(nll, mse)} ({percent(mse)})."
    )


def _rate(rows: Numbered) -> str:
    slow, fast = rows[1], rows[6]
    return (
        f"From a rate of {slow.row.config.learning_rate:g} to {fast.row.config.learning_rate:g} "
        f"NLL becomes {_change(slow, fast)} ({percent(slow)} to {percent(fast)}): after "
        f"{slow.row.config.epochs} epochs its loss is {slow.outcomes[0].losses[-1]:.4f} at the "
        f"smaller rate and {fast.outcomes[0].losses[-1]:.4f} at the larger one."
    )


def _diverged(rows: Numbered) -> str:
    row = rows[5]
    first = row.outcomes[0]
    answers = np.bincount(first.predictions, minlength=CLASS_COUNT)
    share = answers.max() / answers.sum()
    loss = first.losses[-1]
    if not first.finite:
        state = (
            "the weights grow past all numbers; argmax of what is not a number says class 0, so "
            "this accuracy is that of an arbitrary class"
        )
    elif share == 1:
        state = (
            f"it answers {answers.argmax()} to every image, with a loss of {loss:.3f}, about the "
            f"{log(CLASS_COUNT):.3f} = ln {CLASS_COUNT} of guessing. Which class that is depends "
            f"on the seed; in the publication it was class 1, whose 1,135 images give its 0.114"
        )
    else:
        state = (
            f"it answers {answers.argmax()} to {share:.0%} of the images, with a loss of "
            f"{loss:.3f} (guessing: {log(CLASS_COUNT):.3f})"
        )
    rate = row.row.config.learning_rate
    return f"At a rate of {rate:g} nothing is learned ({percent(row)}): {state}."


def _width(rows: Numbered) -> str:
    narrow, wide, two, two_wide = rows[8], rows[7], rows[6], rows[9]
    return (
        f"Width: one hidden layer of {narrow.row.layers} units gets {percent(narrow)}; one of "
        f"{wide.row.layers} is {_change(narrow, wide)} ({percent(wide)}). Doubling both layers of "
        f"{two.row.layers} to {two_wide.row.layers} makes it {_change(two, two_wide)} "
        f"({percent(two_wide)}) for {_weights(two_wide) / _weights(two):.1f} times the weights."
    )


def _depth(rows: Numbered) -> str:
    steps = [
        f"from {before.row.layers} to {after.row.layers} it becomes {_change(before, after)}"
        for before, after in ((rows[7], rows[6]), (rows[9], rows[11]))
    ]
    deep = rows[10]
    best = max((rows[n] for n in (6, 7, 8, 9, 10, 11) if n in rows), key=lambda r: r.accuracy)
    return (
        f"Depth: {'; '.join(steps)}. Four layers of {deep.row.layers} reach {percent(deep)} with "
        f"{_weights(deep):,} weights, where {rows[7].row.layers} in one layer reaches "
        f"{percent(rows[7])} with {_weights(rows[7]):,}. Best here is {best.row.layers} "
        f"({percent(best)})."
    )


def percent(result: RowResult) -> str:
    """The accuracy as text."""
    return f"{result.accuracy:.2%}"


def _change(before: RowResult, after: RowResult) -> str:
    points = 100 * (after.accuracy - before.accuracy)
    if abs(points) < 0.005:
        return "neither more nor less accurate"
    return f"{abs(points):.2f} points {'more' if points > 0 else 'less'} accurate"


def _weights(result: RowResult) -> int:
    config = result.row.config
    sizes = (config.inputs, *config.hidden, config.classes)
    return sum(width_in * width_out for width_in, width_out in pairwise(sizes))
