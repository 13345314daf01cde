"""Write the `config.pbtxt` by which Triton serves the same model repository."""

from pathlib import Path
from typing import Final

from gurmukhi.bundle import Manifest, TensorSpec

CONFIG: Final = "config.pbtxt"


def write_triton_config(folder: Path, manifest: Manifest) -> None:
    """Write `models/<name>/config.pbtxt`.

    Dimensions are given in full with `max_batch_size: 0`, because Triton would otherwise put a
    batch dimension of its own in front. Source: Triton's model_configuration.md.
    """
    text = "\n".join(
        [
            f'name: "{manifest.name}"',
            # Triton's own word; the manifest's `onnx_onnxv1` is the protocol's, which it refuses.
            'backend: "onnxruntime"',
            'platform: "onnxruntime_onnx"',
            "max_batch_size: 0",
            *(_tensor("input", spec) for spec in manifest.inputs),
            *(_tensor("output", spec) for spec in manifest.outputs),
            "version_policy: { all {} }",
            "instance_group [ { kind: KIND_CPU count: 1 } ]",
            "",
        ]
    )
    partial = folder / f".{CONFIG}"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / CONFIG)


def _tensor(kind: str, spec: TensorSpec) -> str:
    dims = ", ".join(map(str, spec.shape))
    return f'{kind} [ {{ name: "{spec.name}" data_type: TYPE_{spec.datatype} dims: [ {dims} ] }} ]'
