"""The server as a process: start, refusal to start, health, reflection, metrics, drain."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from bundles import edit_json, reseal
from conftest import RunningServer, run_command, serving
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from onnx import TensorProto, helper
from prometheus_client.parser import text_string_to_metric_families

from gurmukhi.client import DigitClient
from gurmukhi.errors import CallError
from gurmukhi.synthetic import synthetic_digits

pytestmark = pytest.mark.usefixtures("front")

IMAGES, _ = synthetic_digits(10, 79)
SERVING = health_pb2.HealthCheckResponse.SERVING
FLAGS = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0")


@pytest.fixture
def repository(models: Path, tmp_path: Path) -> Path:
    """A copy of two models, to be spoiled."""
    for name in ("mlp", "svm-linear"):
        shutil.copytree(models / name, tmp_path / "models" / name)
    return tmp_path / "models"


def refusal(repository: Path) -> str:
    done = run_command("server", "--models", str(repository), "-q", *FLAGS)
    assert done.returncode == 4, done.stderr
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_flipped_byte_in_a_model_stops_the_start(repository: Path) -> None:
    path = repository / "svm-linear/1/model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "svm-linear/1/model.onnx: sha256 is" in refusal(repository)


def test_a_missing_manifest_stops_the_start(repository: Path) -> None:
    (repository / "mlp/1/manifest.json").unlink()
    assert "mlp/1: no manifest.json" in refusal(repository)


def test_a_missing_file_stops_the_start(repository: Path) -> None:
    (repository / "mlp/1/golden.npz").unlink()
    assert "golden.npz: cannot be read" in refusal(repository)


def test_golden_vectors_that_are_not_reproduced_stop_the_start(repository: Path) -> None:
    """Another model under the right name, its sha256 put right: only the answers tell."""
    import hashlib

    swapped = (repository / "svm-linear/1/model.onnx").read_bytes()
    manifest_path = repository / "mlp/1/manifest.json"
    manifest = json.loads(manifest_path.read_text())
    manifest["files"]["model.onnx"] = hashlib.sha256(swapped).hexdigest()
    manifest["outputs"] = manifest["outputs"][:2]
    (repository / "mlp/1/model.onnx").write_bytes(swapped)
    manifest_path.write_text(json.dumps(manifest))
    assert re.search(r"mlp/1: (reads \d+ of \d+ golden|scores of golden)", refusal(repository))


def give_float64(manifest: dict[str, Any], folder: Path) -> None:
    graph = onnx.load(folder / "model.onnx")
    scores = graph.graph.output[1]
    for node in graph.graph.node:
        node.output[:] = ["narrow" if name == scores.name else name for name in node.output]
        node.input[:] = ["narrow" if name == scores.name else name for name in node.input]
    wide = helper.make_node("Cast", ["narrow"], [scores.name], to=TensorProto.DOUBLE)
    graph.graph.node.append(wide)
    scores.type.tensor_type.elem_type = TensorProto.DOUBLE
    onnx.save(graph, folder / "model.onnx")


def promise_nine(manifest: dict[str, Any], folder: Path) -> None:
    manifest["outputs"][1]["shape"] = [-1, 9]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (give_float64, r"'scores' as float64 of shape \[64, 10\], .* FP32 of shape \[-1, 10\]"),
        (promise_nine, r"'scores' as float32 of shape \[64, 10\], .* FP32 of shape \[-1, 9\]"),
    ],
)
def test_outputs_that_are_not_as_promised_stop_the_start(
    repository: Path, spoil: Callable[[dict[str, Any], Path], None], said: str
) -> None:
    folder = repository / "svm-linear/1"
    edit_json(folder / "manifest.json", lambda manifest: spoil(manifest, folder))
    reseal(folder)
    assert re.search(said, refusal(repository))


def test_an_empty_repository_stops_the_start(tmp_path: Path) -> None:
    assert "holds no model" in refusal(tmp_path)
    assert "no such model repository" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(("flag", "what"), [("--port", "gRPC"), ("--metrics-port", "HTTP")])
def test_a_port_that_is_taken_stops_the_start(models: Path, flag: str, what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_command("server", "--models", str(models), "-q", *FLAGS, flag, port)
    assert done.returncode == 4
    assert f":{port} for {what}: Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    "flags", [("--port", "70000"), ("--prot", "1"), ("--threads", "0"), ("--drain-seconds", "x")]
)
def test_a_wrong_flag_is_a_usage_error_of_one_line(flags: tuple[str, str]) -> None:
    done = run_command("server", *flags)
    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 1
    assert flags[0] in done.stderr


def test_flags_have_their_defaults_from_the_environment(models: Path) -> None:
    done = run_command(
        *("server", "--models", str(models), *FLAGS),
        environment={"GURMUKHI_DEFAULT_MODEL": "nothing"},
    )
    assert done.returncode == 4
    assert "the default model 'nothing'" in done.stderr
    assert run_command("server", environment={"GURMUKHI_PORT": "x"}).returncode == 64


def test_health_answers_for_the_server_its_services_and_models(server: RunningServer) -> None:
    names = ("", "liveness", "model/mlp", "gurmukhi.v1.DigitService")
    with grpc.insecure_channel(server.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in (*names, "inference.GRPCInferenceService"):
            request = health_pb2.HealthCheckRequest(service=name)
            assert stub.Check(request, timeout=5).status == SERVING
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="model/nothing"), timeout=5)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_and_describes_every_service(server: RunningServer) -> None:
    with grpc.insecure_channel(server.target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)

        def ask(**fields: str) -> reflection_pb2.ServerReflectionResponse:
            requests = iter([reflection_pb2.ServerReflectionRequest(**fields)])
            (reply,) = stub.ServerReflectionInfo(requests, timeout=5)
            return reply

        listed = {service.name for service in ask(list_services="").list_services_response.service}
        assert {
            "gurmukhi.v1.DigitService",
            "inference.GRPCInferenceService",
            "grpc.health.v1.Health",
        } <= listed
        for name in listed:
            assert ask(file_containing_symbol=name).file_descriptor_response.file_descriptor_proto


def scrape(server: RunningServer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urllib.request.urlopen(f"{server.http}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_outcome_is_counted_once(models: Path) -> None:
    with serving(models) as running, DigitClient(running.target) as client:
        for _ in range(7):
            client.classify(IMAGES[0])
        for _ in range(3):
            with pytest.raises(CallError):
                client.classify(b"no picture")
        for _ in range(2):
            with pytest.raises(CallError):
                client.classify(IMAGES[0], model="nothing")
        figures = scrape(running)

    def handled(code: str) -> float:
        labels = {
            "grpc_type": "unary",
            "grpc_service": "gurmukhi.v1.DigitService",
            "grpc_method": "Classify",
            "grpc_code": code,
        }
        return figures["grpc_server_handled_total", frozenset(labels.items())]

    counts = {code: handled(code) for code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")}
    assert counts == {"OK": 7, "INVALID_ARGUMENT": 3, "NOT_FOUND": 2}
    model = {"model": "mlp", "version": "1"}
    assert (
        sum(
            value
            for (name, labels), value in figures.items()
            if name == "gurmukhi_predictions_total" and model.items() <= dict(labels).items()
        )
        == 7
    )
    for name in ("queue", "preprocess", "inference"):
        key = (f"gurmukhi_{name}_duration_seconds_count", frozenset(model.items()))
        assert figures[key] == 7
    assert figures["gurmukhi_inflight_requests", frozenset()] == 0


def test_probes_and_unknown_pages_over_http(server: RunningServer) -> None:
    for page in ("/livez", "/readyz"):
        with urllib.request.urlopen(server.http + page, timeout=5) as reply:
            assert reply.status == 200
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.http}/", timeout=5)
    assert caught.value.code == 404
    caught.value.close()


def test_sigterm_finishes_the_calls_under_way_and_exits_0(models: Path) -> None:
    """Callers that hammer the server through a stop get answers, or are told that it has gone.

    grpcio ends a call that arrives after its stop with CANCELLED, on a connection still open; our
    client tries again, until its deadline if need be.
    """
    codes: list[str] = []
    stopped = threading.Event()

    def call(target: str) -> None:
        with DigitClient(target) as client:
            while not stopped.is_set():
                try:
                    client.classify(IMAGES[0])
                    codes.append("OK")
                except CallError as error:
                    codes.append(error.code.name)
                    return

    with serving(models) as running:
        callers = [threading.Thread(target=call, args=(running.target,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        while codes.count("OK") < 50:
            time.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        code = running.process.wait(timeout=20)
        stopped.set()
        for caller in callers:
            caller.join()
    assert code == 0
    assert set(codes) <= {"OK", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"}


def test_sigint_exits_130(models: Path) -> None:
    with serving(models) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(timeout=20) == 130


def test_the_server_imports_no_training_library(models: Path) -> None:
    program = (
        "import sys, server.command\n"
        "found = {'torch', 'sklearn', 'pandas', 'onnx', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(found) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_answers_of_many_threads_are_those_of_one(server: RunningServer) -> None:
    with DigitClient(server.target) as client:
        alone = [client.classify(image).scores for image in IMAGES]
        failures: list[int] = []

        def check(offset: int) -> None:
            for step in range(40):
                index = (offset + step) % len(IMAGES)
                if not np.allclose(client.classify(IMAGES[index]).scores, alone[index], atol=1e-5):
                    failures.append(index)

        threads = [threading.Thread(target=check, args=(offset,)) for offset in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_second_signal_ends_at_once_and_leaves_nothing(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(models, "--pause-seconds", "15", "--workers", "2") as running:
        running.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=5) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_nothing_is_noted_for_telemetry(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime keeps a session's number in the temporary folder while it reports home."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)  # under which it does not
    with serving(models):
        noted = [path for path in tmp_path.iterdir() if "gurmukhi" not in path.name]
        assert not noted


def hears_sigterm(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM by now."""
    found = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return bool(int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_while_it_starts_ends_it_before_it_is_ready(
    models: Path, workers: str, number: int, code: int
) -> None:
    """The whole group hears it, as from a terminal or from systemd."""
    command = [sys.executable, "-m", "server", "--models", str(models), "-q", *FLAGS]
    with subprocess.Popen(
        [*command, "--workers", workers],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as process:
        while not hears_sigterm(process.pid):
            time.sleep(0.005)
        if workers == "2":
            time.sleep(0.3)  # its workers have begun by then
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert (out, err) == (b"", b"")


def test_a_signal_right_after_ready_is_not_lost(models: Path) -> None:
    for _ in range(5):
        with serving(models) as running:
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(timeout=10) == 0
