"""An MLP as an ONNX graph that takes raw pixels."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Final

import onnx
import torch
from torch import Tensor, nn

from gurmukhi.image import SIDE

# The newest that Triton's onnxruntime of the same year reads.
_OPSET: Final = 21


class PixelClassifier(nn.Module):
    """A network with its pixel scaling in front and its label and probabilities behind."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pixels uint8 (N, 32, 32) → digit (N,), log-probabilities (N, 10), probabilities."""
        scores = self.network(scale_pixels(pixels))
        return scores.argmax(dim=1), scores, scores.exp()


def scale_pixels(pixels: Tensor) -> Tensor:
    """(N, 32, 32) grey values → (N, 1024) float32 from −1 (ink) to 1 (paper)."""
    return pixels.flatten(1).to(torch.float32) / 127.5 - 1


def export_mlp(network: nn.Sequential) -> onnx.ModelProto:
    """Convert a network: `pixels` UINT8 in; `digit`, `scores` and `probabilities` out."""
    example = torch.zeros((2, SIDE, SIDE), dtype=torch.uint8)
    with _quiet_exporter():
        program = torch.onnx.export(
            PixelClassifier(network).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
            input_names=["pixels"],
            output_names=["digit", "scores", "probabilities"],
            opset_version=_OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return program.model_proto


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's own progress and its use of deprecated calls to itself."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
