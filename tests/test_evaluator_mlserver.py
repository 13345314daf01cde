"""The evaluator against MLServer, a server that is not ours, with our graphs behind a runtime.

Optional, since it fetches MLServer into an environment of its own: set GURMUKHI_MLSERVER=1.
"""

import json
import os
import socket
import subprocess
import time
import venv
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from evaluator.__main__ import main
from evaluator.target import Target
from gurmukhi.errors import CallError
from gurmukhi.manifest import MODEL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the installation takes minutes
    pytest.mark.skipif(
        not os.environ.get("GURMUKHI_MLSERVER"), reason="GURMUKHI_MLSERVER is not set"
    ),
]

NAMES = ("mlp", "svm-linear", "svm-poly", "svm-rbf", "svm-sigmoid")
RUNTIME = """
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Digits(MLModel):
    async def load(self) -> bool:
        self._graph = onnxruntime.InferenceSession(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pixels = NumpyCodec.decode_input(payload.inputs[0])
        names = [output.name for output in self._graph.get_outputs()]
        answers = self._graph.run(names, {"pixels": pixels})
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[NumpyCodec.encode_output(*one) for one in zip(names, answers)],
        )
"""


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in an environment that holds nothing of ours."""
    home = tmp_path_factory.mktemp("mlserver")
    venv.create(home, with_pip=True)
    wanted = ("mlserver==1.7.1", "onnxruntime>=1.22")
    subprocess.run([home / "bin/python", "-m", "pip", "install", "-q", *wanted], check=True)
    return home / "bin" / "mlserver"


@contextmanager
def serving(mlserver: Path, models: Path, folder: Path, runtime: str) -> Iterator[str]:
    """Serve version 1 of every model by MLServer; gives the address."""
    for name in NAMES:
        place = folder / name
        place.mkdir(parents=True)
        graph = {"uri": str(models / name / "1" / MODEL), "version": "1"}
        settings = {"name": name, "implementation": "runtime.Digits", "parameters": graph}
        (place / "model-settings.json").write_text(json.dumps(settings))
    (folder / "runtime.py").write_text(runtime)
    grpc_port, http_port, metrics_port = free_ports(3)
    ports = {"grpc_port": grpc_port, "http_port": http_port, "metrics_port": metrics_port}
    host = {"host": "127.0.0.1", "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps(host | ports))
    address = f"127.0.0.1:{grpc_port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [mlserver, "start", folder],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(address, process, folder / "log")
            yield address
        finally:
            process.terminate()
            process.wait(30)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    with closing(Target(address, 5)) as target:
        while True:
            try:
                if all(target.is_model_ready(name, "1") for name in NAMES):
                    return
            except CallError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)


def evaluate(target: str, models: Path, report: Path) -> tuple[int, dict[str, Any]]:
    flags = ["--target", target, "--models", str(models), "--data", "synthetic"]
    code = main([*flags, "--report", str(report)])
    return code, json.loads((report / "report.json").read_text(encoding="utf-8"))


def test_mlserver_that_serves_our_graphs_passes_and_what_it_lacks_is_not_offered(
    mlserver: Path, models: Path, tmp_path: Path
) -> None:
    with serving(mlserver, models, tmp_path / "served", RUNTIME) as target:
        code, record = evaluate(target, models, tmp_path / "report")
    assert code == 0, record["sentence"]
    outcomes = {(one["check"], one["outcome"]) for one in record["checks"]}
    for name in ("reach", "labels", "scores", "accuracy", "batches", "load", "calls"):
        assert {outcome for check, outcome in outcomes if check == name} == {"pass"}, name
    # Typed contents agree; there is neither a DigitService, nor a sha256, nor our codes.
    assert {check for check, outcome in outcomes if outcome == "not offered"} == {
        "model",
        "apis",
        "refusals",
    }
    assert record["calls"]["lost"] == 0


def test_mlserver_that_serves_something_else_is_exit_2(
    mlserver: Path, models: Path, tmp_path: Path
) -> None:
    wrong = RUNTIME.replace('{"pixels": pixels}', '{"pixels": pixels[:, ::-1].copy()}')
    assert wrong != RUNTIME
    with serving(mlserver, models, tmp_path / "served", wrong) as target:
        code, record = evaluate(target, models, tmp_path / "report")
    assert code == 2
    assert "labels differ from the bundle's" in record["sentence"]
