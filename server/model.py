"""A model version in memory: proven on its golden vectors, then run by onnxruntime."""

from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gurmukhi.bundle import Bundle, read_bundle
from gurmukhi.errors import BundleError
from gurmukhi.image import PAPER, SIDE
from gurmukhi.manifest import MODEL, Manifest, TensorSpec
from gurmukhi.tensor import dtype_of

_ERRORS_ONLY: Final = 3
# A first run of a size may allocate: nobody's request should pay for it. These are the sizes of
# most, alone and sharing a run. The golden vectors are one more; larger ones were no faster for it.
_WARM_UP_BATCHES: Final = (1, 8)


# A graph's output -> the field of a prediction, in the order of the fields.
_FIELDS: Final = {"digit": "digits", "scores": "scores", "probabilities": "probabilities"}


class Prediction(NamedTuple):
    """A graph's outputs for N images."""

    digits: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N, 10)
    probabilities: NDArray[np.float32] | None = None  # (N, 10), where the model has them

    def output(self, name: str) -> NDArray[Any]:
        """One output by the name that it has in the graph."""
        array: NDArray[Any] | None = getattr(self, _FIELDS[name])
        if array is None:
            raise KeyError(name)
        return array

    def place(self, name: str) -> int:
        """Which of the fields one output is."""
        return self._fields.index(_FIELDS[name])

    def part(self, start: int, end: int) -> "Prediction":
        """The outputs for some of the images."""
        digits, scores, likely = self
        return Prediction(
            digits[start:end], scores[start:end], None if likely is None else likely[start:end]
        )


class Model:
    """One version, ready to answer; safe to call from several threads."""

    def __init__(self, manifest: Manifest, session: onnxruntime.InferenceSession) -> None:
        self.manifest = manifest
        self.name = manifest.name
        self.version = str(manifest.version)
        self.sha256 = manifest.model_sha256
        self._session = session
        self.output_names = tuple([spec.name for spec in manifest.outputs])
        self._outputs = [
            name for name in _FIELDS if name in self.output_names
        ]  # as Prediction has them

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Run the graph on (N, 32, 32) images, 0 ink and 255 paper."""
        return Prediction(*self._session.run(self._outputs, {"pixels": pixels}))

    def warm_up(self) -> None:
        """Run each size once, and keep the memory of single images alone: others may be rare."""
        shrink = onnxruntime.RunOptions()
        shrink.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        for size, options in (*((size, None) for size in _WARM_UP_BATCHES), (1, shrink), (1, None)):
            paper = np.full((size, SIDE, SIDE), PAPER, dtype=np.uint8)
            self._session.run(self._outputs, {"pixels": paper}, options)


def load_model(folder: Path) -> Model:
    """Load a bundle: every sha256 verified, the golden vectors reproduced, each size warmed up.

    Raises BundleError with the file and what is wrong with it.
    """
    bundle = read_bundle(folder)
    bundle.verify()
    model = Model(bundle.manifest, _open_session(bundle))
    try:
        _prove(bundle, model)
        model.warm_up()
    except BundleError:
        raise
    except Exception as error:  # whatever a graph of another make does when it is run
        raise BundleError(f"{folder}: cannot be run ({type(error).__name__}: {error})") from error
    return model


def _open_session(bundle: Bundle) -> onnxruntime.InferenceSession:
    path, manifest = bundle.folder / MODEL, bundle.manifest
    options = onnxruntime.SessionOptions()
    # One image is microseconds of work: a second thread costs more than it brings.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    _share_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        # From the bytes that were verified, not from the file, which may change meanwhile.
        session = onnxruntime.InferenceSession(
            bundle.read(MODEL), options, providers=["CPUExecutionProvider"]
        )
    except (RuntimeError, ValueError) as error:  # onnxruntime's errors derive from these
        raise BundleError(f"{path}: onnxruntime refuses it ({error})") from error
    found = [node.name for node in [*session.get_inputs(), *session.get_outputs()]]
    expected = [spec.name for spec in [*manifest.inputs, *manifest.outputs]]
    if found != expected:
        raise BundleError(f"{path}: has the tensors {found}, the manifest says {expected}")
    return session


@cache
def _share_arena() -> None:
    """One arena for all graphs of the process: each would keep what its largest batch took."""
    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo(
            "Cpu",
            onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
            0,
            onnxruntime.OrtMemType.DEFAULT,
        ),
        None,
    )


def _prove(bundle: Bundle, model: Model) -> None:
    golden = bundle.golden()
    prediction = model.predict(golden.images)
    for spec in bundle.manifest.outputs:
        if spec.name in _FIELDS:
            _check_output(bundle, spec, prediction.output(spec.name))
    wrong = np.flatnonzero(prediction.digits != golden.digits)
    if len(wrong):
        first = wrong[0]
        raise BundleError(
            f"{bundle.folder}: reads {len(wrong)} of {len(golden.digits)} golden images otherwise "
            f"than the native model (image {first}: {prediction.digits[first]}, "
            f"expected {golden.digits[first]})"
        )
    difference = float(np.abs(prediction.scores - golden.scores).max())
    if not difference <= bundle.manifest.score_tolerance:  # so that NaN fails
        raise BundleError(
            f"{bundle.folder}: scores of golden images differ by {difference:.2g}, "
            f"at most {bundle.manifest.score_tolerance:g} is allowed"
        )


def _check_output(bundle: Bundle, spec: TensorSpec, array: NDArray[Any]) -> None:
    sizes = zip(array.shape, spec.shape, strict=False)
    is_shaped = array.ndim == len(spec.shape) and all(want in (-1, size) for size, want in sizes)
    if array.dtype != dtype_of(spec.datatype) or not is_shaped:
        raise BundleError(
            f"{bundle.folder / MODEL}: gives {spec.name!r} as {array.dtype} of shape "
            f"{list(array.shape)}, the manifest says {spec.datatype} of shape {list(spec.shape)}"
        )
