"""Two versions of a model beside each other: by number, by label, by policy, and by neither."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from bundles import edit_json
from conftest import RunningServer, serving
from inferring import raw_request

from gurmukhi.client import DigitClient
from gurmukhi.errors import CallError
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.synthetic import synthetic_digits

pytestmark = pytest.mark.usefixtures("front")

IMAGES, _ = synthetic_digits(2, 90)


def renumber(version: int, fields: dict[str, Any]) -> None:
    fields["version"] = version


@pytest.fixture
def repository(models: Path, tmp_path: Path) -> Path:
    """The MLP as versions 1, 2 and 10."""
    for version in (1, 2, 10):
        folder = tmp_path / "models/mlp" / str(version)
        shutil.copytree(models / "mlp/1", folder)
        edit_json(folder / "manifest.json", partial(renumber, version))
    return tmp_path / "models"


def answering(running: RunningServer, version: str) -> str:
    """The version that answers both protocols alike, or the code of the refusal."""
    with DigitClient(running.target) as client, grpc.insecure_channel(running.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        answers = {
            outcome(lambda: client.classify(IMAGES[0], version=version).model.version),
            outcome(
                lambda: (
                    stub.ModelInfer(
                        raw_request(IMAGES, model_version=version), timeout=5
                    ).model_version
                )
            ),
        }
        asked = pb.ModelReadyRequest(name="mlp", version=version)
        is_ready = stub.ModelReady(asked, timeout=5).ready
    assert len(answers) == 1
    answer = answers.pop()
    assert is_ready is answer.isdigit()
    return answer


def outcome(call: Callable[[], str]) -> str:
    try:
        return call()
    except CallError as error:
        return str(error.code.name)
    except grpc.RpcError as error:
        return str(error.code().name)


def test_versions_answer_by_number_and_label_and_the_newest_without(repository: Path) -> None:
    expected = {"": "10", "1": "1", "2": "2", "10": "10", "stable": "2", "canary": "10"}
    expected |= dict.fromkeys(("3", "old"), "NOT_FOUND")
    with serving(repository, "--labels", "mlp:stable=2,mlp:canary=10") as running:
        assert {version: answering(running, version) for version in expected} == expected
        with grpc.insecure_channel(running.target) as channel:
            stub = GRPCInferenceServiceStub(channel)
            metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="mlp"), timeout=5)
    assert list(metadata.versions) == ["1", "2", "10"]


@pytest.mark.parametrize(
    ("policy", "versions"),
    [("all", ["1", "2", "10"]), ("latest:2", ["2", "10"]), ("specific:1,10", ["1", "10"])],
)
def test_a_policy_chooses_the_versions(repository: Path, policy: str, versions: list[str]) -> None:
    with (
        serving(repository, "--version-policy", policy) as running,
        DigitClient(running.target) as client,
    ):
        assert [model.version for model in client.list_models()] == versions
