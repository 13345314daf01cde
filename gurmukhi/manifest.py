"""What a bundle says of itself: `manifest.json`, and the names of the files beside it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from gurmukhi.errors import BundleError
from gurmukhi.labels import CLASS_COUNT

MODEL: Final = "model.onnx"
EVALUATION: Final = "evaluation.json"
GOLDEN: Final = "golden.npz"
CARD: Final = "MODEL_CARD.md"
FILES: Final = (MODEL, EVALUATION, GOLDEN, CARD)
MANIFEST: Final = "manifest.json"
FORMAT_VERSION: Final = 1
PLATFORM: Final = "onnx_onnxv1"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor that a graph takes or gives; -1 in `shape` is a dimension of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DataOrigin:
    """Which data a model was fitted and evaluated on."""

    source: str  # "real", "synthetic" or "local"
    train_sha256: str
    train_images: int
    test_sha256: str
    test_images: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle is and how it came to be."""

    name: str
    version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...]  # (10,) the glyphs of the classes
    data: DataOrigin
    seed: int
    hyperparameters: dict[str, Any]
    selection: dict[str, Any]  # how the hyper-parameters were chosen, with the evidence
    libraries: dict[str, str]
    opset: int
    parity: dict[str, Any]
    accuracy: float  # of the native model on the test split
    score_tolerance: float  # served scores may differ from the native ones by this much
    # Of probabilities: slopes, and the error (ECE) that they leave; empty where there are none.
    calibration: dict[str, Any] = field(default_factory=dict)
    warn_below: float = 0.0  # a picture whose best probability is lower may be of no digit
    # Accuracy on the test split under mild corruptions, by their names.
    robustness: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # name -> sha256, set when written
    platform: str = PLATFORM
    format_version: int = FORMAT_VERSION

    @property
    def model_sha256(self) -> str:
        return self.files[MODEL]


def parse_manifest(data: bytes, path: Path) -> Manifest:
    """Read a manifest's JSON, which is of a path; raises BundleError."""
    try:
        fields = json.loads(data)
        if fields["format_version"] != FORMAT_VERSION:
            raise BundleError(
                f"{path}: format_version is {fields['format_version']!r}, expected {FORMAT_VERSION}"
            )
        manifest = Manifest(
            name=_typed(fields, "name", str),
            version=_typed(fields, "version", int),
            inputs=_tensors(fields["inputs"]),
            outputs=_tensors(fields["outputs"]),
            labels=tuple(map(str, fields["labels"])),
            data=_data_origin(fields["data"]),
            seed=_typed(fields, "seed", int),
            hyperparameters=_typed(fields, "hyperparameters", dict),
            selection=_typed(fields, "selection", dict),
            libraries=_typed(fields, "libraries", dict),
            opset=_typed(fields, "opset", int),
            parity=_typed(fields, "parity", dict),
            accuracy=_share(fields, "accuracy"),
            score_tolerance=_share(fields, "score_tolerance"),
            # Earlier bundles lack these three.
            calibration=_typed({"calibration": {}, **fields}, "calibration", dict),
            warn_below=float(fields.get("warn_below", 0.0)),
            robustness=_typed({"robustness": {}, **fields}, "robustness", dict),
            files={name: _typed(fields["files"], name, str) for name in FILES},
            platform=_typed(fields, "platform", str),
        )
    except KeyError as error:
        raise BundleError(f"{path}: {error.args[0]} is missing") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(f"{path}: not a manifest ({error})") from error
    if len(manifest.labels) != CLASS_COUNT:
        raise BundleError(f"{path}: has {len(manifest.labels)} labels, expected {CLASS_COUNT}")
    return manifest


def _typed(fields: dict[str, Any], key: str, kind: type[_T]) -> _T:
    value = fields[key]
    if not isinstance(value, kind):
        raise TypeError(f"{key} is {value!r:.80}, expected {kind.__name__}")
    return value


def _share(fields: dict[str, Any], key: str) -> float:
    """A number of 0 to 1: a tolerance of infinity would let any answer pass."""
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise TypeError(f"{key} is {value!r:.80}, expected a number of 0 to 1")
    return float(value)


def _data_origin(fields: dict[str, Any]) -> DataOrigin:
    return DataOrigin(
        source=_typed(fields, "source", str),
        train_sha256=_typed(fields, "train_sha256", str),
        train_images=_typed(fields, "train_images", int),
        test_sha256=_typed(fields, "test_sha256", str),
        test_images=_typed(fields, "test_images", int),
    )


def _tensors(specs: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(str(spec["name"]), str(spec["datatype"]), tuple(map(int, spec["shape"])))
        for spec in specs
    )
