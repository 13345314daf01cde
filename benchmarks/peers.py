"""Servers that a user would take instead, each in an environment of its own with the same graph."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import onnxruntime

from benchmarks import questions
from benchmarks.load import Question
from benchmarks.processes import BenchmarkError, ServerProcess, answering, free_port
from gurmukhi.inference import open_inference_grpc_pb2 as pb

_MODELS: Final = Path(__file__).parent / "peer_models"
_INSTALL_SECONDS: Final = 1800
MODEL_NAME: Final = "digits"  # whatever the graph is

Ask = Callable[[ServerProcess, Path], Question]  # the graph tells what the answer is to be


def infer(server: ServerProcess, graph: Path) -> Question:
    """One image by Open Inference."""
    return questions.model_infer(server, graph, MODEL_NAME, "")


def is_ready(port: int) -> bool:
    """Whether a server on the port says that the model is ready."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelReady",
            pb.ModelReadyRequest.SerializeToString,
            pb.ModelReadyResponse.FromString,
        )
        try:
            return bool(ask(pb.ModelReadyRequest(name=MODEL_NAME), timeout=2).ready)
        except grpc.RpcError:
            return False


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a peer, once its environment is there."""

    command: list[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server: what to install, and how it is started on a port."""

    name: str
    package: str
    requirements: tuple[str, ...]
    launch: Callable[[Path, Path, Path, int], Launch]  # environment, folder, graph, port
    is_ready: Callable[[int], bool] = is_ready
    ask: Ask = infer


def install(peer: Peer, folder: Path) -> Path:
    """The environment of the peer's package, made once; raises BenchmarkError if not to be had."""
    environment = folder / peer.package
    mark = environment / ".installed"
    if mark.exists():
        return environment
    shutil.rmtree(environment, ignore_errors=True)
    commands = [
        [sys.executable, "-m", "venv", str(environment)],
        [
            str(environment / "bin/python"),
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *peer.requirements,
        ],
    ]
    for command in commands:
        done = subprocess.run(  # noqa: S603 - our own commands
            command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
        if done.returncode:
            last = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise BenchmarkError(f"{peer.name} cannot be installed: {last}")
    mark.touch()
    return environment


def version_of(peer: Peer, environment: Path) -> str:
    """What was installed."""
    code = f"from importlib.metadata import version; print(version({peer.package!r}))"
    done = subprocess.run(  # noqa: S603 - our own command
        [environment / "bin/python", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@contextmanager
def running_peer(
    peer: Peer, environment: Path, folder: Path, graph: Path
) -> Iterator[ServerProcess]:
    """Start a peer and wait until it says that its model is ready."""
    port = free_port()
    place = folder / f"{peer.name}-files"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    launch = peer.launch(environment, place, graph.absolute(), port)
    with answering(
        peer.name,
        launch.command,
        port,
        peer.is_ready,
        environment=launch.environment,
        log=folder / f"{peer.name}.log",
    ) as server:
        yield server


def _kserve(environment: Path, folder: Path, graph: Path, port: int) -> Launch:
    flags = [f"--grpc_port={port}", f"--http_port={free_port()}"]
    script = str(_MODELS / "kserve_server.py")
    return Launch([str(environment / "bin/python"), script, str(graph), *flags], {})


def _mlserver(environment: Path, folder: Path, graph: Path, port: int) -> Launch:
    shutil.copy(_MODELS / "mlserver_model.py", folder)
    settings = {
        "grpc_port": port,
        "http_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,  # in the serving process, which costs a small model least
    }
    model = {
        "name": MODEL_NAME,
        "implementation": "mlserver_model.Digits",
        "parameters": {"uri": str(graph)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    command = [str(environment / "bin/mlserver"), "start", str(folder)]
    return Launch(command, {"PYTHONPATH": str(folder)})


def packages_of(environment: Path) -> Path:
    """Where an environment has its packages."""
    return next((environment / "lib").glob("python*/site-packages"))


def triton_libraries(environment: Path) -> str:
    """Where Triton's Python backend finds its libraries, and that of this interpreter."""
    bundled = packages_of(environment) / "nvidia_pytriton.libs"
    return f"{bundled}:{Path(sys.base_prefix) / 'lib'}"


def _triton(environment: Path, folder: Path, graph: Path, port: int) -> Launch:
    packages = packages_of(environment)
    home = packages / "pytriton" / "tritonserver"
    version = folder / "models" / MODEL_NAME / "1"
    version.mkdir(parents=True)
    shutil.copy(_MODELS / "triton_model.py", version / "model.py")
    (version.parent / "config.pbtxt").write_text(_triton_config(graph))
    # The stub of this interpreter, where the backend looks for it, as PyTriton does it.
    backend = folder / "backends" / "python"
    shutil.copytree(home / "backends" / "python", backend)
    stub = home / "python_backend_stubs" / packages.parent.name.removeprefix("python")
    shutil.copy(stub / "triton_python_backend_stub", backend)
    command = [
        str(home / "bin/tritonserver"),
        f"--model-repository={folder / 'models'}",
        f"--backend-directory={backend.parent}",
        f"--grpc-port={port}",
        "--grpc-address=127.0.0.1",
        "--allow-http=false",
        "--allow-metrics=false",
    ]
    return Launch(
        command,
        {
            "GRAPH": str(graph),
            "LD_LIBRARY_PATH": triton_libraries(environment),
            "PYTHONPATH": str(packages),
            "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
        },
    )


def _triton_config(graph: Path) -> str:
    """Triton's configuration of a model, without the outputs that its graph has not."""
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    names = {output.name for output in session.get_outputs()}
    outputs = {
        "digit": "TYPE_INT64, dims: [ -1 ]",
        "scores": "TYPE_FP32, dims: [ -1, 10 ]",
        "probabilities": "TYPE_FP32, dims: [ -1, 10 ]",
    }
    lines = (
        f'{{ name: "{name}", data_type: {kind} }}'
        for name, kind in outputs.items()
        if name in names
    )
    head = (_MODELS / "config.pbtxt").read_text()
    return f"{head}output [ {', '.join(lines)} ]\n"


PEERS: Final = (
    Peer("kserve", "kserve", ("kserve", "onnxruntime"), _kserve),
    Peer("mlserver", "mlserver", ("mlserver", "onnxruntime"), _mlserver),
    Peer("triton", "nvidia-pytriton", ("nvidia-pytriton", "onnxruntime"), _triton),
)
