"""Which versions of which models there are, and how each is made."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from gurmukhi.dataset import Split
from trainer.augmented_mlp import AugmentedMLPConfig, scaled_logits, train_augmented_mlp
from trainer.augmented_svm import AugmentedSVMConfig, fit_augmented_svm
from trainer.doubt import fit_doubt
from trainer.mlp import MLPConfig, train_mlp
from trainer.mlp_graph import scale_pixels
from trainer.model import MLPModel, Model, SVMModel
from trainer.selection import Selected
from trainer.svm import PUBLISHED_SVMS, SVMConfig, View, fit_svm

Config = MLPConfig | SVMConfig | AugmentedMLPConfig | AugmentedSVMConfig

_PIXELS: Final[dict[View, str]] = {
    "pixels": "scaled to −1…1",
    "blurred": "blurred by a binomial window of 9 pixels, scaled to −1…1",
    "smoothed": "blurred by a binomial window of 17 pixels, scaled to −1…1, all in the weights",
}
_DOUBT: Final = (
    "a network of one hidden layer, 45 decision values to one, fitted to digits drawn anew and to "
    "pictures of none; the less it takes a picture for a digit, the more alike are probabilities"
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version of a model: its configuration, where that comes from, and what was published."""

    name: str
    version: int
    config: Config
    selection: dict[str, Any]
    published_correct: int | None = None  # of the 178 real test images
    slopes: tuple[float, ...] = ()  # of the calibration, where there is one
    warn_below: float = 0.0  # a picture whose best probability is lower may be of no digit

    @property
    def steps(self) -> int:
        """Into how many steps of progress fitting falls."""
        return self.config.epochs if isinstance(self.config, MLPConfig | AugmentedMLPConfig) else 1

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The configuration as it is written into the manifest."""
        kind = "mlp" if isinstance(self.config, MLPConfig | AugmentedMLPConfig) else "svc"
        doubt = {"doubt": _DOUBT} if isinstance(self.config, AugmentedSVMConfig) else {}
        return {"kind": kind, "pixels": _PIXELS[_view(self.config)], **asdict(self.config), **doubt}

    def fit(self, train: Split, seed: int, on_step: Callable[[str], None]) -> Model:
        """Fit to a split; `on_step` gets a word after each step."""

        def on_epoch(loss: float) -> None:
            on_step(f"loss {loss:.4f}")

        match self.config:
            case MLPConfig() as config:
                pixels = scale_pixels(torch.from_numpy(train.images))
                labels = torch.from_numpy(train.labels)
                network, _ = train_mlp(config, pixels, labels, seed=seed, on_epoch=on_epoch)
                return MLPModel(network)
            case AugmentedMLPConfig() as config:
                network = train_augmented_mlp(
                    config, train.images, train.labels, seed=seed, on_epoch=on_epoch
                )
                return MLPModel(scaled_logits(network, *self.slopes))
            case SVMConfig() as config:
                fitted, doubt = fit_svm(config, train.images, train.labels), None
            case AugmentedSVMConfig() as config:
                fitted = fit_augmented_svm(config, train.images, train.labels, seed=seed)
                doubt = fit_doubt(fitted, train.images, train.labels, seed=seed)
        on_step(f"{len(fitted.vectors)} support vectors")
        return SVMModel(fitted, self.slopes or None, doubt)


def _view(config: Config) -> View:
    match config:
        case AugmentedSVMConfig(machine=SVMConfig(view=view)) | SVMConfig(view=view):
            return view
    return "pixels"


_PUBLISHED: Final = {
    "protocol": "the published configuration; nothing was selected here",
    "inferred": "the publication states the layers, the kernels and the results; learning rate, "
    "momentum, batch size, scaling, C and gamma were inferred from them",
}
_SEARCHED: Final = (
    "the best of `gurmukhi-train search`: 5-fold stratified cross-validation on the 1,000 real "
    "training images alone; the test split played no part"
)
# What the studies state as right of the 178 test images.
_PUBLISHED_CORRECT: Final = {
    "mlp": 170,
    "svm-linear": 173,
    "svm-poly": 172,
    "svm-rbf": 36,
    "svm-sigmoid": 170,
}
_PUBLISHED_CONFIGS: Final[dict[str, Config]] = {
    "mlp": MLPConfig(hidden=(256, 64), learning_rate=0.003),
    **PUBLISHED_SVMS,
}

# Version 1: the published configurations.
RECIPES: Final[tuple[Recipe, ...]] = tuple(
    Recipe(name, 1, _PUBLISHED_CONFIGS[name], _PUBLISHED, published_correct=correct)
    for name, correct in _PUBLISHED_CORRECT.items()
)


def searched_recipes(selected: dict[str, Selected]) -> tuple[Recipe, ...]:
    """Version 2 of the models that were searched for."""
    return tuple(
        Recipe(
            name,
            2,
            winner.config,
            {"protocol": _SEARCHED, **winner.evidence},
            published_correct=_PUBLISHED_CORRECT[name],
            slopes=winner.slopes,
            warn_below=winner.warn_below,
        )
        for name, winner in selected.items()
    )
