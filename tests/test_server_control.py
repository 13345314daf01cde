"""Models loaded and unloaded by call, of a real server under `--model-control explicit`."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from conftest import RunningServer, serving

from gurmukhi.client import DigitClient
from gurmukhi.health import health_pb2
from gurmukhi.health.health_pb2_grpc import HealthStub
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.synthetic import synthetic_digits

pytestmark = pytest.mark.usefixtures("front")

IMAGES, _ = synthetic_digits(1, 87)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Operator:
    """Who loads and unloads, and looks at what is served."""

    def __init__(self, running: RunningServer, channel: grpc.Channel) -> None:
        self.running = running
        self._stub = GRPCInferenceServiceStub(channel)
        self._health = HealthStub(channel)

    def load(self, name: str) -> str:
        """What is said of a load that is refused; empty of one that is carried out."""
        try:
            self._stub.RepositoryModelLoad(
                pb.RepositoryModelLoadRequest(model_name=name), timeout=30
            )
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        return ""

    def unload(self, name: str) -> None:
        request = pb.RepositoryModelUnloadRequest(model_name=name)
        self._stub.RepositoryModelUnload(request, timeout=30)

    def index(self) -> dict[str, tuple[str, str]]:
        """State and reason of each version."""
        reply = self._stub.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=5)
        return {f"{one.name}/{one.version}": (one.state, one.reason) for one in reply.models}

    def status(self, name: str) -> int:
        request = health_pb2.HealthCheckRequest(service=name)
        return int(self._health.Check(request, timeout=5).status)

    def is_ready(self) -> bool:
        """As all three say that are asked whether it is."""
        told = {
            bool(self._stub.ServerReady(pb.ServerReadyRequest(), timeout=5).ready),
            self.status("") == SERVING,
            self._http_status("/readyz") == 200,
        }
        assert len(told) == 1
        return told.pop() is True

    def _http_status(self, page: str) -> int:
        try:
            with urllib.request.urlopen(self.running.http + page, timeout=5) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


@pytest.fixture
def repository(models: Path, tmp_path: Path) -> Path:
    """A copy of two models, to be added to."""
    for name in ("mlp", "svm-linear"):
        shutil.copytree(models / name, tmp_path / "models" / name)
    return tmp_path / "models"


@pytest.fixture(params=["1", "2"], ids=["alone", "two workers"])
def operator(repository: Path, request: pytest.FixtureRequest) -> Iterator[Operator]:
    flags = ("--model-control", "explicit", "--workers", request.param)
    with serving(repository, *flags) as running, grpc.insecure_channel(running.target) as channel:
        yield Operator(running, channel)


def add_half_copied(repository: Path) -> None:
    """A second version of the MLP without its manifest."""
    without_manifest = shutil.ignore_patterns("manifest.json")
    shutil.copytree(repository / "mlp/1", repository / "mlp/2", ignore=without_manifest)


def test_a_half_copied_version_is_not_loaded_by_call(operator: Operator, repository: Path) -> None:
    add_half_copied(repository)
    said = operator.load("mlp")
    assert said.startswith("UNAVAILABLE: ")
    assert "mlp/2: no manifest.json, so the bundle was never finished" in said
    with DigitClient(operator.running.target) as client:
        assert client.classify(IMAGES[0]).model.version == "1"


def test_a_failure_stays_known_while_another_model_is_loaded_and_unloaded(
    operator: Operator, repository: Path
) -> None:
    add_half_copied(repository)
    assert operator.load("mlp")
    assert operator.load("svm-linear") == ""
    operator.unload("svm-linear")
    state, reason = operator.index()["mlp/2"]
    assert state == "UNAVAILABLE"
    assert "never finished" in reason
    assert operator.status("model/mlp/2") == NOT_SERVING
    assert operator.status("model/mlp") == SERVING
    shutil.rmtree(repository / "mlp/2")
    assert operator.load("mlp") == ""
    assert "mlp/2" not in operator.index()


def test_a_server_without_a_model_is_live_and_not_ready(operator: Operator) -> None:
    assert operator.is_ready()
    operator.unload("mlp")
    assert operator.is_ready()
    operator.unload("svm-linear")
    assert not operator.is_ready()
    assert operator.status("liveness") == SERVING
    assert operator.load("mlp") == ""
    assert operator.is_ready()
