"""Which versions of which models there are, and how each is made."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from gurmukhi.dataset import Split
from trainer.mlp import MLPConfig, train_mlp
from trainer.mlp_graph import scale_pixels
from trainer.model import MLPModel, Model, SVMModel
from trainer.svm import PUBLISHED_SVMS, SVMConfig, fit_svm


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version of a model: its configuration, where that comes from, and what was published."""

    name: str
    version: int
    config: MLPConfig | SVMConfig
    selection: dict[str, Any]
    published_correct: int | None = None  # of the 178 real test images

    @property
    def steps(self) -> int:
        """Into how many steps of progress fitting falls."""
        return self.config.epochs if isinstance(self.config, MLPConfig) else 1

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The configuration as it is written into the manifest."""
        kind = "mlp" if isinstance(self.config, MLPConfig) else "svc"
        return {"kind": kind, "pixels": "scaled to −1…1", **asdict(self.config)}

    def fit(self, train: Split, seed: int, on_step: Callable[[str], None]) -> Model:
        """Fit to a split; `on_step` gets a word after each step."""
        if isinstance(self.config, SVMConfig):
            machine = fit_svm(self.config, train.images, train.labels)
            on_step(f"{int(machine.n_support_.sum())} support vectors")
            return SVMModel(machine)
        network, _ = train_mlp(
            self.config,
            scale_pixels(torch.from_numpy(train.images)),
            torch.from_numpy(train.labels),
            seed=seed,
            on_epoch=lambda loss: on_step(f"loss {loss:.4f}"),
        )
        return MLPModel(network)


_PUBLISHED: Final = {
    "protocol": "the published configuration; nothing was selected here",
    "inferred": "the publication states the layers, the kernels and the results; learning rate, "
    "momentum, batch size, scaling, C and gamma were inferred from them",
}

RECIPES: Final[tuple[Recipe, ...]] = (
    Recipe(
        "mlp",
        1,
        MLPConfig(hidden=(256, 64), learning_rate=0.003),
        _PUBLISHED,
        published_correct=170,
    ),
    *(
        Recipe(name, 1, PUBLISHED_SVMS[name], _PUBLISHED, published_correct=correct)
        for name, correct in {
            "svm-linear": 173,
            "svm-poly": 172,
            "svm-rbf": 36,
            "svm-sigmoid": 170,
        }.items()
    ),
)
