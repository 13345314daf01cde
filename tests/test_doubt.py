"""An SVM's probabilities fall on what is no digit; its label stays, in the graph as in Python."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gurmukhi.sources import find_source
from gurmukhi.synthetic import synthetic_digits
from trainer import svm
from trainer.augment import HAND
from trainer.augmented_svm import AugmentedSVMConfig, fit_augmented_svm
from trainer.calibration import fit_slopes, scale
from trainer.doubt import Doubt, fit_doubt
from trainer.graph import finish_graph
from trainer.model import SVMModel
from trainer.novelty import MNIST_FAMILY, auroc, mnist_shapes, non_digits
from trainer.parity import check_parity, open_session, run_graph
from trainer.recipes import searched_recipes
from trainer.robustness import SEED
from trainer.selection import committed_selection
from trainer.svm import FittedSVM, SVMConfig

MACHINES = {
    "linear": SVMConfig(kernel="linear"),
    "poly": SVMConfig(kernel="poly", degree=5, gamma=1 / 640, C=3, view="blurred"),
    "rbf": SVMConfig(kernel="rbf", gamma=4 / 640, C=10, view="blurred"),
    "sigmoid": SVMConfig(kernel="sigmoid", gamma=2 / 640, coef0=-3.0, C=10, view="blurred"),
}
IMAGES, LABELS = synthetic_digits(300, 7)
OTHERS, _ = synthetic_digits(200, 8)


@cache
def fit(kernel: str) -> tuple[FittedSVM, Doubt]:
    config = AugmentedSVMConfig(machine=MACHINES[kernel], augmentation=HAND, copies=1)
    fitted = fit_augmented_svm(config, IMAGES, LABELS, seed=0)
    return fitted, fit_doubt(fitted, IMAGES, LABELS, seed=0)


def few(seed: int) -> dict[str, NDArray[np.uint8]]:
    return {name: pictures[::5] for name, pictures in non_digits(OTHERS, seed).items()}


def confidence(model: SVMModel, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    answers = model.answer(images)
    assert answers.probabilities is not None
    return answers.probabilities[np.arange(len(images)), answers.digits]


@pytest.mark.parametrize("kernel", MACHINES)
def test_a_machine_doubts_every_family_of_non_digits(kernel: str) -> None:
    fitted, doubt = fit(kernel)
    certain, doubting = SVMModel(fitted, (1.0, 1.0)), SVMModel(fitted, (1.0, 1.0), doubt)
    plain: list[float] = []
    better: list[float] = []
    for pictures in few(0).values():
        plain.append(auroc(confidence(certain, OTHERS), confidence(certain, pictures)))
        better.append(auroc(confidence(doubting, OTHERS), confidence(doubting, pictures)))
    # Drawn digits are harder than real ones, and three hundred are few.
    assert all(after > before for before, after in zip(plain, better, strict=True))
    assert min(better) > 0.8
    assert sum(better) / len(better) > 0.88


@pytest.mark.slow
def test_real_digits_are_told_from_every_family_of_non_digits(real_folder: Path) -> None:
    source = find_source(str(real_folder))
    (recipe,) = searched_recipes({"svm-linear": committed_selection()["svm-linear"]})
    model = recipe.fit(source.split("train"), 0, lambda word: None)
    assert isinstance(model, SVMModel)
    digits = source.split("test").images
    families = non_digits(digits, SEED)
    foreign = mnist_shapes(SEED)
    if foreign is not None:
        families[MNIST_FAMILY] = foreign
    sure = confidence(model, digits)
    areas = [auroc(sure, confidence(model, pictures)) for pictures in families.values()]
    assert sum(areas) / len(areas) >= 0.95
    assert min(areas) > 0.85


@pytest.mark.parametrize("kernel", MACHINES)
def test_doubt_changes_no_label_and_no_score_and_the_graph_doubts_alike(kernel: str) -> None:
    fitted, doubt = fit(kernel)
    plain, doubting = SVMModel(fitted, (1.2, 0.7)), SVMModel(fitted, (1.2, 0.7), doubt)
    pictures = {"digits": OTHERS, **few(1)}
    _, answers = check_parity(finish_graph(doubting.export()), doubting, pictures)
    for name, images in pictures.items():
        expected = plain.answer(images)
        assert np.array_equal(answers[name].digits, expected.digits)
        assert np.array_equal(answers[name].scores, expected.scores)
        assert expected.probabilities is not None
        served = run_graph(open_session(finish_graph(doubting.export())), images).probabilities
        assert served is not None
        assert np.allclose(served.sum(axis=1), 1, atol=1e-5)
        mixed = answers[name].probabilities
        assert mixed is not None
        sure = mixed.max(axis=1) > 0.11  # of others all are a tenth, but for rounding
        assert np.array_equal(
            mixed[sure].argmax(axis=1), expected.probabilities[sure].argmax(axis=1)
        )


def test_the_same_seed_gives_the_same_doubt() -> None:
    fitted, doubt = fit("linear")
    again = fit_doubt(fitted, IMAGES, LABELS, seed=0)
    other = fit_doubt(fitted, IMAGES, LABELS, seed=1)
    assert np.array_equal(doubt.weights, again.weights)
    assert doubt.out_bias == again.out_bias
    assert not np.array_equal(doubt.weights, other.weights)


def test_trust_is_a_share_however_large_the_decision_values() -> None:
    doubt = Doubt(np.ones((45, 2)), np.zeros(2), np.array([[1.0], [1.0]]), -1e6)
    values = np.stack([np.full(45, -1e9), np.zeros(45), np.full(45, 1e9)])
    assert doubt.trust(values).tolist() == [0, 0, 1]


@pytest.mark.parametrize("kernel", MACHINES)
def test_rough_decisions_are_the_decisions_but_for_rounding(kernel: str) -> None:
    fitted, _ = fit(kernel)
    exact = fitted.pair_decisions(OTHERS)
    assert np.allclose(fitted.rough_decisions(OTHERS), exact, rtol=0, atol=1e-6)


def test_what_is_not_trusted_gets_a_tenth_for_each_class() -> None:
    features = np.random.default_rng(0).normal(0, 3, (2, 6, 10))
    plain = scale(features, (1.0, 0.5))
    trust = np.array([0, 0.25, 0.5, 0.75, 1, 1])
    mixed = scale(features, (1.0, 0.5), trust)
    assert np.allclose(mixed[0], 0.1)
    assert np.allclose(mixed[-1], plain[-1])
    assert np.allclose(mixed[2], (plain[2] + 0.1) / 2)
    assert np.allclose(mixed.sum(axis=1), 1)
    assert np.array_equal(mixed[1:].argmax(axis=1), plain[1:].argmax(axis=1))


def test_slopes_of_what_is_wholly_trusted_are_as_without_trust_and_none_is_infinite() -> None:
    labels = np.arange(200) % 10
    features = np.eye(10)[labels][None] + np.random.default_rng(0).normal(0, 0.5, (1, 200, 10))
    plain = fit_slopes(features, labels)
    assert fit_slopes(features, labels, np.ones(200)) == pytest.approx(plain)
    now_and_then = (np.arange(200) % 2).astype(np.float64)
    assert np.isfinite(fit_slopes(features, labels, now_and_then)).all()


def test_decisions_of_pairs_are_of_ten_classes() -> None:
    fitted, _ = fit("linear")
    assert np.array_equal(svm.vote(fitted.rough_decisions(OTHERS)), fitted.predict(OTHERS))
