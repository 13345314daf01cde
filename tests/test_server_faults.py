"""A fault of ours: the caller learns that there was one, the log all of it, the counters one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import onnx
import pytest
from bundles import reseal
from conftest import serving
from onnx import TensorProto, helper
from test_server_process import scrape

from gurmukhi.client import DigitClient
from gurmukhi.errors import CallError
from gurmukhi.synthetic import synthetic_digits

pytestmark = pytest.mark.usefixtures("front")

IMAGES, _ = synthetic_digits(4, 89)
FAULTY = 3  # images; no size that is run before a version is served


def break_for_three_images(path: Path) -> None:
    """Have a graph look up its batch size at an index that only three images put out of range."""
    model = onnx.load(path)
    digit = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["sound" if name == digit else name for name in node.output]
    constants = {"three": [FAULTY], "large": [1_000_000], "zero": [0]}
    model.graph.initializer.extend(
        helper.make_tensor(name, TensorProto.INT64, [1], value) for name, value in constants.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["pixels"], ["sizes"]),
            helper.make_node("Gather", ["sizes", "zero"], ["count"]),
            helper.make_node("Equal", ["count", "three"], ["is_three"]),
            helper.make_node("Cast", ["is_three"], ["one_or_zero"], to=TensorProto.INT64),
            helper.make_node("Mul", ["one_or_zero", "large"], ["index"]),
            helper.make_node("Gather", ["sizes", "index"], ["found"]),
            helper.make_node("Mul", ["found", "zero"], ["nothing"]),
            helper.make_node("Add", ["sound", "nothing"], [digit]),
        ]
    )
    onnx.save(model, path)


@pytest.fixture
def faulty(models: Path, tmp_path: Path) -> Path:
    """A repository whose one model is proven and sound, but for three images at once."""
    shutil.copytree(models / "mlp", tmp_path / "models/mlp")
    break_for_three_images(tmp_path / "models/mlp/1/model.onnx")
    reseal(tmp_path / "models/mlp/1")
    return tmp_path / "models"


def test_a_fault_of_ours_is_internal_without_detail_and_counted_once(faulty: Path) -> None:
    with serving(faulty) as running, DigitClient(running.target) as client:
        with pytest.raises(CallError) as caught:
            client.classify_batch(list(IMAGES[:FAULTY]))
        assert caught.value.code is grpc.StatusCode.INTERNAL
        assert str(caught.value).endswith("internal error")
        assert len(client.classify_batch(list(IMAGES))) == len(IMAGES)
        figures = scrape(running)
    handled = {
        dict(labels)["grpc_code"]: value
        for (name, labels), value in figures.items()
        if name == "grpc_server_handled_total" and ("grpc_method", "ClassifyBatch") in labels
    }
    assert handled == {"OK": 1, "INTERNAL": 1}
    model = frozenset({"model": "mlp", "version": "1"}.items())
    assert figures["gurmukhi_failure_duration_seconds_count", model] == 1
    assert figures["gurmukhi_inflight_requests", frozenset()] == 0


def test_a_fault_of_ours_leaves_its_trace_in_the_log(faulty: Path) -> None:
    command = [sys.executable, "-m", "server", "--models", str(faulty), "--host", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--port", "0", "--metrics-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = re.search(r"gRPC on \S+:(\d+)", process.stdout.readline())
        assert port
        with (
            DigitClient(f"127.0.0.1:{port[1]}") as client,
            pytest.raises(CallError, match="internal error"),
        ):
            client.classify_batch(list(IMAGES[:FAULTY]))
        process.terminate()
        _, log = process.communicate(timeout=30)
    assert "ERROR gurmukhi.v1.DigitService/ClassifyBatch failed" in log
    assert "Traceback" in log
    assert "indices element out of data bounds" in log
