"""The repository that fit writes is one that Triton's onnxruntime backend takes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import onnx
import pytest
from bundles import manifest_of, write_bundle

from gurmukhi.bundle import find_bundles, read_bundle, write_manifest
from gurmukhi.manifest import MANIFEST, MODEL, TensorSpec
from trainer.graph import opset_of
from trainer.triton import CONFIG, write_triton_config

# In a process of its own: tritonclient declares what our stubs declare too.
PARSE: Final = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
config = text_format.Parse(open(sys.argv[1]).read(), model_config_pb2.ModelConfig())
print(json_format.MessageToJson(config, always_print_fields_with_no_presence=True))
"""


def parse(path: Path) -> dict[str, Any]:
    """What Triton's own proto makes of a configuration."""
    pytest.importorskip("tritonclient")
    command = [sys.executable, "-c", PARSE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    config: dict[str, Any] = json.loads(done.stdout)
    return config


def test_triton_takes_the_configuration_of_each_model(models: Path) -> None:
    for folder in sorted(path for path in models.iterdir() if path.is_dir()):
        config = parse(folder / CONFIG)
        assert (config["name"], config["backend"]) == (folder.name, "onnxruntime")
        assert config["maxBatchSize"] == 0
        assert config["versionPolicy"] == {"all": {}}
        ((group,)) = config["instanceGroup"]
        assert (group["kind"], group["count"]) == ("KIND_CPU", 1)
        ((pixels,)) = config["input"]
        assert (pixels["name"], pixels["dataType"]) == ("pixels", "TYPE_UINT8")
        assert pixels["dims"] == ["-1", "32", "32"]
        outputs = {one["name"]: (one["dataType"], one["dims"]) for one in config["output"]}
        expected = {"digit": ("TYPE_INT64", ["-1"]), "scores": ("TYPE_FP32", ["-1", "10"])}
        if folder.name == "mlp":
            expected["probabilities"] = ("TYPE_FP32", ["-1", "10"])
        assert outputs == expected


def test_tritons_onnxruntime_reads_each_graph(models: Path) -> None:
    for folder in find_bundles(models):
        model = onnx.load(folder / MODEL)
        assert opset_of(model) <= 21
        assert model.ir_version <= 10


def test_an_output_that_only_one_version_has_is_not_promised(tmp_path: Path) -> None:
    """Triton would load no version that lacks an output of the configuration."""
    probabilities = TensorSpec("probabilities", "FP32", (-1, 10))
    names = []
    for version, extra in ((1, ()), (2, (probabilities,))):
        folder = write_bundle(tmp_path, "svm-rbf", version)
        manifest = manifest_of("svm-rbf", version)
        (folder / MANIFEST).unlink()
        write_manifest(folder, replace(manifest, outputs=(*manifest.outputs, *extra)))
        write_triton_config(tmp_path / "svm-rbf")
        names.append([one["name"] for one in parse(tmp_path / "svm-rbf" / CONFIG)["output"]])
    assert read_bundle(folder).manifest.outputs[-1] == probabilities
    assert names == [["digit", "scores"]] * 2
