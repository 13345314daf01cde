"""Exported graphs are clean, standard, and the same bytes from the same model."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import ROOT
from onnx import TensorProto, helper

from gurmukhi.dataset import make_split
from gurmukhi.manifest import TensorSpec
from gurmukhi.synthetic import synthetic_digits
from trainer.graph import finish_graph, opset_of, tensor_specs
from trainer.mlp import MLPConfig
from trainer.model import Model
from trainer.recipes import Config, Recipe
from trainer.svm import SVMConfig

IMAGES, LABELS = synthetic_digits(100, 31)
CONFIGS: dict[str, Config] = {
    "mlp": MLPConfig(hidden=(16,), learning_rate=0.01, epochs=1),
    "linear": SVMConfig(kernel="linear"),
    "poly": SVMConfig(kernel="poly"),
    "poly-5-coef": SVMConfig(kernel="poly", degree=5, coef0=1.5),
    "rbf": SVMConfig(kernel="rbf"),
    "rbf-2": SVMConfig(kernel="rbf", gamma=2.0),
    "sigmoid": SVMConfig(kernel="sigmoid"),
}


@cache
def fit(name: str) -> Model:
    """A small model, fitted on 100 synthetic digits."""
    train = make_split(IMAGES, LABELS, map(str, range(100)))
    return Recipe(name, 1, CONFIGS[name], {}).fit(train, 0, lambda word: None)


@cache
def graph_of(name: str) -> bytes:
    return finish_graph(fit(name).export())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_graph_passes_onnxs_checker(name: str) -> None:
    onnx.checker.check_model(graph_of(name), full_check=True)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_graph_is_of_standard_operators_that_triton_reads(name: str) -> None:
    model = onnx.load_from_string(graph_of(name))
    assert opset_of(model) == 21
    assert model.ir_version <= 10
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not model.functions


@pytest.mark.parametrize("name", CONFIGS)
def test_a_graph_takes_pixels_and_gives_digit_and_scores(name: str) -> None:
    graph = onnx.load_from_string(graph_of(name)).graph
    outputs = {spec.name: spec for spec in tensor_specs(graph.output)}
    assert tensor_specs(graph.input) == (TensorSpec("pixels", "UINT8", (-1, 32, 32)),)
    assert outputs["digit"] == TensorSpec("digit", "INT64", (-1,))
    assert outputs["scores"] == TensorSpec("scores", "FP32", (-1, 10))
    assert ("probabilities" in outputs) == (name == "mlp")
    names = {
        value.type.tensor_type.shape.dim[0].dim_param for value in [*graph.input, *graph.output]
    }
    assert names == {"batch"}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_graph_says_nothing_of_where_it_was_made(name: str) -> None:
    data = graph_of(name)
    for word in (b"/work", b"/home", b"/usr", b".py", b"site-packages", b"trainer", b"Traceback"):
        assert word not in data
    model = onnx.load_from_string(data)
    assert model.doc_string == ""
    assert not model.metadata_props
    parts: list[Any] = [*model.graph.node, *model.graph.initializer, *model.graph.input]
    for part in parts:
        assert part.doc_string == ""
        assert not part.metadata_props


@pytest.mark.parametrize("name", CONFIGS)
def test_a_graph_keeps_all_data_inside(name: str) -> None:
    for tensor in onnx.load_from_string(graph_of(name)).graph.initializer:
        assert tensor.data_location == TensorProto.DEFAULT
        assert not tensor.external_data


@pytest.mark.parametrize("name", CONFIGS)
def test_exporting_twice_gives_the_same_bytes(name: str) -> None:
    assert finish_graph(fit(name).export()) == graph_of(name)


EXPORT = """
import sys
sys.path.insert(0, "tests")
import hashlib
from test_graph import CONFIGS, graph_of
for name in ("mlp", "linear", "rbf-2"):
    print(hashlib.sha256(graph_of(name)).hexdigest())
"""


@pytest.mark.slow
def test_another_process_gives_the_same_bytes() -> None:
    def digests(hash_seed: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", EXPORT],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
            timeout=200,
        )
        return done.stdout.split()

    first = digests("1")
    assert len(first) == 3
    assert digests("2") == first
    assert first[1] == hashlib.sha256(graph_of("linear")).hexdigest()


def identity_graph(output: str, kind: int, shape: list[int | str]) -> onnx.ModelProto:
    """A graph that hands its pixels on under another name."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 32, 32])
    result = helper.make_tensor_value_info(output, kind, shape)
    node = helper.make_node("Cast", ["pixels"], [output], to=kind)
    graph = helper.make_graph([node], "g", [pixels], [result])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


@pytest.mark.parametrize(
    ("output", "kind", "shape"),
    [
        ("digit", TensorProto.FLOAT, ["n", 32, 32]),
        ("scores", TensorProto.FLOAT, ["n", 32, 32]),
        ("surprise", TensorProto.INT64, ["n", 32, 32]),
    ],
)
def test_a_graph_of_other_tensors_is_refused(
    output: str, kind: int, shape: list[int | str]
) -> None:
    with pytest.raises(ValueError, match="the graph has TensorSpec"):
        finish_graph(identity_graph(output, kind, shape))


def test_operators_that_are_not_standard_are_refused() -> None:
    model = identity_graph("digit", TensorProto.INT64, ["n", 32, 32])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ValueError, match=r"operators of .*com\.microsoft.*; expected standard"):
        opset_of(model)


def test_a_graph_that_is_wrong_is_refused_by_the_checker() -> None:
    model = identity_graph("digit", TensorProto.INT64, ["n", 32, 32])
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(onnx.checker.ValidationError):
        finish_graph(model)


def spoil_metadata(model: onnx.ModelProto) -> None:
    model.doc_string = model.graph.node[0].doc_string = "/home/someone/secret.py"
    model.metadata_props.add(key="source", value="/home/someone/secret.py")
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="secret.py")


def reverse_attributes(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        attributes = list(node.attribute)[::-1]
        del node.attribute[:]
        node.attribute.extend(attributes)


@pytest.mark.parametrize("change", [spoil_metadata, reverse_attributes])
def test_what_an_exporter_leaves_behind_does_not_show(
    change: Callable[[onnx.ModelProto], None],
) -> None:
    model = fit("sigmoid").export()
    change(model)
    assert finish_graph(model) == graph_of("sigmoid")


def test_the_files_that_fit_writes_are_such_graphs(models: Path) -> None:
    for path in sorted(models.glob("*/*/model.onnx")):
        data = path.read_bytes()
        assert b".py" not in data
        assert onnx.load_from_string(data).ir_version <= 10
        assert np.frombuffer(data, np.uint8).size < 4 << 20
