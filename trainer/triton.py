"""Write the `config.pbtxt` by which Triton serves the same model repository."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from gurmukhi.bundle import find_bundles, read_bundle
from gurmukhi.errors import BundleError
from gurmukhi.manifest import Manifest, TensorSpec

CONFIG: Final = "config.pbtxt"


def write_triton_config(folder: Path) -> None:
    """Write `models/<name>/config.pbtxt`, which holds for all versions in the folder.

    Dimensions are given in full with `max_batch_size: 0`, because Triton would otherwise put a
    batch dimension of its own in front. Outputs are those that every version has: Triton loads no
    version that lacks one of them, and needs not be told of all. Source: Triton's
    model_configuration.md, and its onnxruntime_backend (ValidateOutputs).
    """
    manifests = _manifests(folder)
    newest = manifests[-1]
    common = [spec for spec in newest.outputs if all(spec in one.outputs for one in manifests)]
    text = "\n".join(
        [
            f'name: "{newest.name}"',
            # Triton's own word; the manifest's `onnx_onnxv1` is the protocol's, which it refuses.
            'backend: "onnxruntime"',
            'platform: "onnxruntime_onnx"',
            "max_batch_size: 0",
            *(_tensor("input", spec) for spec in newest.inputs),
            *(_tensor("output", spec) for spec in common),
            "version_policy: { all {} }",
            "instance_group [ { kind: KIND_CPU count: 1 } ]",
            "",
        ]
    )
    partial = folder / f".{CONFIG}"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / CONFIG)


def _manifests(folder: Path) -> list[Manifest]:
    """Of the versions in a folder, oldest first; without those that cannot be read."""
    found = []
    for version in find_bundles(folder.parent):
        if version.parent == folder:
            with suppress(BundleError):
                found.append(read_bundle(version).manifest)
    return found


def _tensor(kind: str, spec: TensorSpec) -> str:
    dims = ", ".join(map(str, spec.shape))
    return f'{kind} [ {{ name: "{spec.name}" data_type: TYPE_{spec.datatype} dims: [ {dims} ] }} ]'
