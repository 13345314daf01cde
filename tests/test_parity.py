"""Exported graphs give the native model's labels, whatever the kernel and the picture."""

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from gurmukhi.dataset import make_split
from gurmukhi.errors import ParityError
from gurmukhi.synthetic import synthetic_digits
from trainer.augment import Augmentation
from trainer.augmented_mlp import AugmentedMLPConfig, scaled_logits, train_augmented_mlp
from trainer.augmented_svm import AugmentedSVMConfig, fit_augmented_svm
from trainer.blur import blur_ink, blur_matrix, smooth
from trainer.graph import finish_graph
from trainer.mlp_graph import scale_pixels
from trainer.model import MLPModel, Model, SVMModel
from trainer.parity import Parity, check_parity, open_session, run_graph
from trainer.recipes import RECIPES, Recipe, searched_recipes
from trainer.selection import committed_selection
from trainer.svm import PUBLISHED_SVMS, Kernel, SVMConfig, fit_svm
from trainer.svm import scale_pixels as scale_for_svm

KERNELS: dict[str, SVMConfig] = {
    **PUBLISHED_SVMS,
    "poly of degree 5": SVMConfig(kernel="poly", gamma=1 / 512, degree=5, coef0=1.0),
    "narrow rbf": SVMConfig(kernel="rbf", gamma=1 / 512, C=10),
    "rbf that all but vanishes": SVMConfig(kernel="rbf", gamma=0.4),
    "sigmoid with an offset": SVMConfig(kernel="sigmoid", gamma=1 / 2048, coef0=-1.0, C=10),
    "blurred linear": SVMConfig(kernel="linear", view="blurred", C=0.1),
    "smoothed linear": SVMConfig(kernel="linear", view="smoothed"),
    "blurred poly": SVMConfig(kernel="poly", view="blurred", gamma=1 / 128, coef0=0.5),
    "blurred rbf": SVMConfig(kernel="rbf", view="blurred", gamma=1 / 64, C=10),
    "blurred rbf that all but vanishes": SVMConfig(kernel="rbf", view="blurred", gamma=0.4),
    "blurred sigmoid": SVMConfig(kernel="sigmoid", view="blurred", gamma=1 / 256, coef0=-1.0, C=30),
}
HAND = Augmentation(rotation=15, shear=0.2, scale=0.15, shift=2, elastic=1.2, pen=0.6)


def pictures(count: int = 300) -> dict[str, NDArray[np.uint8]]:
    """Digits as they are, all greys, and blank ones: distances from zero to the largest."""
    rng = np.random.default_rng(0)
    drawn, _ = synthetic_digits(count, 8)
    grey = rng.integers(0, 256, (count, 32, 32)).astype(np.uint8)
    return {
        "drawn": drawn,
        "fitted": synthetic_digits(100, 7)[0],
        "grey": grey,
        "specks": np.where(grey < 100, 0, 255).astype(np.uint8),
        "blank": np.stack([np.full((32, 32), value, np.uint8) for value in (0, 127, 128, 255)]),
    }


def hold(model: Model) -> Parity:
    return check_parity(finish_graph(model.export()), model, pictures())[0]


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_is_exact(name: str) -> None:
    parity = hold(SVMModel(fit_svm(KERNELS[name], *synthetic_digits(100, 7))))
    assert parity.near_ties == ()


def test_a_calibrated_machine_gives_probabilities_and_the_same_labels() -> None:
    config = AugmentedSVMConfig(machine=PUBLISHED_SVMS["svm-poly"], augmentation=HAND, copies=2)
    fitted = fit_augmented_svm(config, *synthetic_digits(100, 7), seed=0)
    plain, calibrated = SVMModel(fitted), SVMModel(fitted, (1.2, 0.7))
    hold(calibrated)
    session = open_session(finish_graph(calibrated.export()))
    answers = run_graph(session, pictures()["drawn"])
    assert answers.probabilities is not None
    assert np.allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(answers.digits, plain.answer(pictures()["drawn"]).digits)


def test_native_labels_are_those_of_predict_and_scores_those_of_the_decision_function() -> None:
    fitted = fit_svm(PUBLISHED_SVMS["svm-rbf"], *synthetic_digits(100, 7))
    for images in pictures().values():
        answers = SVMModel(fitted).answer(images)
        assert np.array_equal(answers.digits, fitted.predict(images))
        scores = fitted.machine.decision_function(scale_for_svm(images))
        assert np.array_equal(answers.scores, scores.astype(np.float32))


def test_coefficients_are_spread_by_constants_that_a_runtime_folds() -> None:
    fitted = fit_svm(PUBLISHED_SVMS["svm-poly"], *synthetic_digits(100, 7))
    graph = finish_graph(SVMModel(fitted).export())
    vectors = len(fitted.vectors)
    assert len(graph) < 128 * vectors + 80 * vectors + 20_000


def test_a_linear_graph_holds_no_training_image() -> None:
    images, labels = synthetic_digits(100, 7)
    fitted = fit_svm(PUBLISHED_SVMS["svm-linear"], images, labels)
    graph = onnx.load_from_string(finish_graph(SVMModel(fitted).export()))
    shapes = {tuple(part.dims) for part in graph.graph.initializer}
    assert (46, 1024) in shapes
    assert not any(len(fitted.vectors) in shape for shape in shapes)


def test_blurring_is_the_same_in_whole_numbers() -> None:
    matrix = blur_matrix()
    for images in pictures().values():
        sums = matrix @ (255 - images.astype(np.int64)) @ matrix.T
        assert np.array_equal(blur_ink(images), sums >> 17)
    assert blur_ink(np.zeros((1, 32, 32), np.uint8)).max() == 127


def test_smoothing_means_what_it_adds_up_and_keeps_paper_white() -> None:
    """One dot of ink is spread over a window of 17 pixels; its shares are the binomial ones."""
    dot = np.full((1, 32, 32), 255, np.uint8)
    dot[0, 16, 10] = 0
    ink = 255 - smooth(dot)[0]
    assert ink.sum() == pytest.approx(255)
    assert ink[16, 10] == pytest.approx(255 * (12870 / 65536) ** 2)  # 16 over 8, of 2¹⁶
    assert (np.argwhere(ink > 0).min(axis=0) == (8, 2)).all()
    assert (np.argwhere(ink > 0).max(axis=0) == (24, 18)).all()
    assert (smooth(np.full((1, 32, 32), 255, np.uint8)) == 255).all()


@pytest.mark.parametrize("kernel", ["poly", "rbf", "sigmoid"])
def test_a_kernel_of_smoothed_pixels_is_refused(kernel: Kernel) -> None:
    config = SVMConfig(kernel=kernel, view="smoothed")
    fitted = fit_svm(config, *synthetic_digits(100, 7))
    with pytest.raises(ValueError, match="no whole numbers"):
        SVMModel(fitted).export()


@pytest.fixture(scope="module")
def network() -> torch.nn.Sequential:
    config = AugmentedMLPConfig(
        hidden=(32, 16), augmentation=HAND, epochs=5, batch_size=50, rejects=0.2
    )
    return train_augmented_mlp(config, *synthetic_digits(300, 7), seed=0)


def test_a_folded_network_is_plain_and_its_graph_equal(network: torch.nn.Sequential) -> None:
    assert {type(layer) for layer in network} == {
        torch.nn.Linear,
        torch.nn.ReLU,
        torch.nn.LogSoftmax,
    }
    hold(MLPModel(network))


def test_training_learns_and_repeats(network: torch.nn.Sequential) -> None:
    config = AugmentedMLPConfig(
        hidden=(32, 16), augmentation=HAND, epochs=5, batch_size=50, rejects=0.2
    )
    images, labels = synthetic_digits(300, 7)
    again = train_augmented_mlp(config, images, labels, seed=0)
    inputs = scale_pixels(torch.from_numpy(images))
    with torch.inference_mode():
        scores = network(inputs)
        assert torch.equal(scores, again(inputs))
    assert (scores.argmax(dim=1).numpy() == labels).mean() > 0.5


def test_temperature_keeps_labels_and_changes_confidence(network: torch.nn.Sequential) -> None:
    inputs = scale_pixels(torch.from_numpy(pictures()["drawn"]))
    with torch.inference_mode():
        before, after = network(inputs), scaled_logits(network, 2.0)(inputs)
    assert torch.equal(before.argmax(dim=1), after.argmax(dim=1))
    assert (after.max(dim=1).values >= before.max(dim=1).values).all()


def test_a_graph_of_another_model_is_refused() -> None:
    images, labels = synthetic_digits(100, 7)
    one = SVMModel(fit_svm(PUBLISHED_SVMS["svm-linear"], images, labels))
    other = SVMModel(fit_svm(PUBLISHED_SVMS["svm-sigmoid"], images, labels))
    with pytest.raises(ParityError, match="differs from the native model"):
        check_parity(finish_graph(one.export()), other, pictures())


@cache
def ten_thousand(start: int) -> NDArray[np.uint8]:
    """Images from `start` on; a hundred thousand have 100 MB, and are drawn once for all."""
    return synthetic_digits(10_000, 9, start=start)[0]


def every_recipe() -> list[Any]:
    recipes: list[Recipe] = [*RECIPES, *searched_recipes(committed_selection())]
    return [pytest.param(one, id=f"{one.name}/{one.version}") for one in recipes]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("recipe", every_recipe())
def test_every_version_is_exact_on_images_without_end(recipe: Recipe) -> None:
    # The native answers of 100,000 images take as long as there are support vectors: of 300 images
    # there are a third of those of 1,000. `fit` holds the whole machines to 10,000.
    images, labels = synthetic_digits(300, 1)
    train = make_split(images, labels, map(str, range(300)))
    model = recipe.fit(train, 0, lambda word: None)
    graph = finish_graph(model.export())
    # libsvm takes minutes for as many where copies make it thousands.
    many = isinstance(model, MLPModel) or recipe.version == 1
    for start in range(0, 100_000 if many else 20_000, 10_000):
        check_parity(graph, model, {"synthetic": ten_thousand(start)})
