"""What the paths of Open Inference v2 over HTTP mean, and what they answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningServer, serving
from http_calls import ask, ask_json, endpoint_of, read, request_of

from gurmukhi.health import health_pb2
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from server.connect import ENDPOINTS
from server.digit_service import DigitService
from server.errors import (
    CallerGone,
    DeadlinePassed,
    InvalidRequest,
    MessageTooLarge,
    NotFound,
    NotReady,
    Overloaded,
    ServiceError,
    Unauthenticated,
    Unsupported,
)
from server.inference_service import InferenceService
from server.rest import find_endpoint, no_such_path
from server.web import HttpResponse


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("GET /v2", "ServerMetadata"),
        ("GET /v2/health/live", "ServerLive"),
        ("GET /v2/health/ready", "ServerReady"),
        ("GET /v2/models/mlp", "ModelMetadata"),
        ("GET /v2/models/mlp/versions/1", "ModelMetadata"),
        ("GET /v2/models/mlp/ready", "ModelReady"),
        ("GET /v2/models/mlp/versions/1/ready", "ModelReady"),
        ("POST /v2/models/mlp/infer", "ModelInfer"),
        ("POST /v2/models/mlp/versions/1/infer", "ModelInfer"),
        ("GET /v2/models/mlp/config", "ModelConfig"),
        ("GET /v2/models/mlp/versions/1/config", "ModelConfig"),
        ("GET /v2/models/mlp/stats", "ModelStatistics"),
        ("GET /v2/models/mlp/versions/1/stats", "ModelStatistics"),
        ("GET /v2/models/stats", "ModelStatistics"),
        ("POST /v2/repository/index", "RepositoryIndex"),
        ("POST /v2/repository/models/mlp/load", "RepositoryModelLoad"),
        ("POST /v2/repository/models/mlp/unload", "RepositoryModelUnload"),
    ],
)
def test_a_path_names_its_method_alone(target: str, method: str) -> None:
    request = request_of(target)
    assert endpoint_of(request).path == f"{InferenceService.name}/{method}"
    other = "POST" if request.method == "GET" else "GET"
    refused = find_endpoint(other, request.path)
    assert isinstance(refused, HttpResponse)
    assert (refused.status, refused.headers) == (405, (("allow", request.method),))
    assert other in json.loads(refused.body)["error"]


def test_every_path_of_connect_is_a_method_of_a_service() -> None:
    assert {path for path in ENDPOINTS if "Digit" in path} == {
        f"/{DigitService.name}/{name}" for name in ("Classify", "ClassifyBatch", "ListModels")
    }
    health = health_pb2.DESCRIPTOR.services_by_name["Health"]
    assert f"/{health.full_name}/Check" in ENDPOINTS


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "v2",
        "/v2/",
        "/v1/models/mlp",
        "/v2/models",
        "/v2/models/",
        "/v2/models//infer",
        "/v2/models/mlp/",
        "/v2/models/mlp/versions",
        "/v2/models/mlp/versions//infer",
        "/v2/models/mlp/versions/1/infer/more",
        "/v2/models/mlp/nothing",
        "/v2/models/%ff/infer",
        "/v2/repository/models/mlp/infer",
        "/v2/repository/models/mlp/versions/1/load",
        "/gurmukhi.v1.DigitService/ClassifyStream",
        "/gurmukhi.v1.DigitService/Classify/",
    ],
)
def test_another_path_means_nothing(path: str) -> None:
    assert find_endpoint("GET", path) is None
    refused = no_such_path(path)
    assert (refused.status, refused.content_type) == (404, "application/json")
    said = json.loads(refused.body)
    assert "nothing is at" in (said["error"] if path.startswith("/v2") else said["message"])


def test_a_name_in_a_path_is_decoded() -> None:
    message = read("POST /v2/models/a%2Fb%20%E0%A9%A9/versions/%31/infer", {})
    assert (message.model_name, message.model_version) == ("a/b ੩", "1")


def test_health_and_metadata_are_those_of_grpc(server: RunningServer) -> None:
    assert ask_json(server, "GET /v2/health/live") == {"live": True}
    assert ask_json(server, "GET /v2/health/ready") == {"ready": True}
    assert ask_json(server, "GET /v2/models/mlp/ready") == {"name": "mlp", "ready": True}
    said = ask_json(server, "GET /v2")
    assert said["name"] == "gurmukhi-serve"
    assert "binary_tensor_data" in said["extensions"]
    model = ask_json(server, "GET /v2/models/mlp/versions/1")
    assert model["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 32, 32]}]
    assert model["versions"] == ["1"]
    assert len(model["properties"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("GET /v2/health/ready", pb.ServerReadyResponse()),
        ("GET /v2/models/nothing/ready", pb.ModelReadyResponse()),
    ],
)
def test_what_is_not_ready_is_503(target: str, message: Any) -> None:
    request = request_of(target)
    response = endpoint_of(request).write(message, request)
    assert (response.status, json.loads(response.body)["ready"]) == (503, False)


def test_an_unknown_model_is_not_ready(server: RunningServer) -> None:
    assert ask(server, "GET /v2/models/nothing/ready").status == 503


def test_configuration_and_statistics_have_tritons_names_and_numbers(
    server: RunningServer,
) -> None:
    config = ask_json(server, "GET /v2/models/mlp/config")
    assert (config["name"], config["backend"]) == ("mlp", "onnxruntime")
    assert config["input"] == [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": [32, 32]}]
    assert config["version_policy"] == {"specific": {"versions": [1]}}
    assert config["parameters"]["sha256"]["string_value"]
    (one,) = ask_json(server, "GET /v2/models/mlp/versions/1/stats")["model_stats"]
    assert type(one["inference_stats"]["success"]["ns"]) is int
    assert len(ask_json(server, "GET /v2/models/stats")["model_stats"]) == 5


def test_the_index_lists_and_models_come_and_go(models: Path) -> None:
    with serving(models, "--model-control", "explicit") as running:
        gone = ask_json(running, "POST /v2/repository/models/svm-poly/unload", b"{}")
        every = ask_json(running, "POST /v2/repository/index")
        ready = ask_json(running, "POST /v2/repository/index", {"ready": True})
        back = ask_json(running, "POST /v2/repository/models/svm-poly/load")
        again = ask_json(running, "POST /v2/repository/index", {"ready": True})
    assert gone == back == {}
    states = {entry["name"]: entry["state"] for entry in every}
    assert states.pop("svm-poly") == "UNAVAILABLE"
    assert set(states.values()) == {"READY"}
    assert {entry["name"] for entry in ready} == set(states)
    assert len(again) == 5


def test_parameters_of_a_load_are_handed_on() -> None:
    parameters = {"config": "{}", "unload_dependents": False, "n": 3}
    message = read("POST /v2/repository/models/mlp/unload", {"parameters": parameters})
    assert message.model_name == "mlp"
    assert message.parameters["config"].string_param == "{}"
    assert message.parameters["n"].int64_param == 3
    assert message.parameters["unload_dependents"].WhichOneof("parameter_choice") == "bool_param"


@pytest.mark.parametrize(
    ("target", "body", "said"),
    [
        ("POST /v2/repository/index", {"ready": 1}, "ready: is a number; expected a boolean"),
        ("POST /v2/repository/index", {"name": "a"}, "name: is unknown; expected one of ready"),
        ("POST /v2/repository/index", [], "body: is an array"),
        ("POST /v2/repository/models/a/load", {"parameters": {"b": []}}, "[b]: is an array"),
        ("POST /v2/repository/models/a/load", {"parameters": {"b": 2**63}}, "[b]: is a number"),
    ],
)
def test_a_wrong_body_is_told_where(target: str, body: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(target, body)
    assert said in str(caught.value)


ERRORS: list[tuple[ServiceError, int, str]] = [
    (InvalidRequest("images[3]", "is blank"), 400, "invalid_argument"),
    (InvalidRequest("content-type", "is 'text/html'"), 415, "invalid_argument"),
    (NotFound("no model 'x'"), 404, "not_found"),
    (NotReady("draining"), 503, "unavailable"),
    (Overloaded("104 calls are under way already"), 429, "resource_exhausted"),
    (MessageTooLarge(2**21, 2**20), 429, "resource_exhausted"),
    (Unauthenticated("no valid token"), 401, "unauthenticated"),
    (Unsupported("model control is off"), 501, "unimplemented"),
    (DeadlinePassed("too late"), 504, "deadline_exceeded"),
    (CallerGone("gone"), 499, "canceled"),
]


@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
def test_each_error_has_its_status(error: ServiceError, status: int, code: str) -> None:
    rest = endpoint_of(request_of("GET /v2")).refuse(error)
    expected = 413 if isinstance(error, MessageTooLarge) else status
    assert (rest.status, json.loads(rest.body)) == (expected, {"error": str(error)})
    connect = ENDPOINTS["/gurmukhi.v1.DigitService/ListModels"].refuse(error)
    said = json.loads(connect.body)
    assert (connect.status, said["code"], said["message"]) == (status, code, str(error))


def test_no_error_is_forgotten() -> None:
    assert {type(error) for error, _, _ in ERRORS} == set(ServiceError.__subclasses__())


def test_a_fault_of_ours_is_500_and_tells_nothing() -> None:
    rest = endpoint_of(request_of("GET /v2")).refuse(None)
    assert (rest.status, json.loads(rest.body)) == (500, {"error": "internal error"})
    connect = ENDPOINTS["/grpc.health.v1.Health/Check"].refuse(None)
    assert json.loads(connect.body) == {"code": "internal", "message": "internal error"}


def test_a_full_queue_says_when_to_try_again_and_a_missing_token_what_is_missing() -> None:
    refuse = endpoint_of(request_of("GET /v2")).refuse
    assert refuse(Overloaded("full")).headers == (("retry-after", "1"),)
    assert refuse(Unauthenticated("no token")).headers == (("www-authenticate", "Bearer"),)
