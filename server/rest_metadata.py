"""Open Inference v2 over HTTP beside the inference: health, metadata and Triton's extensions.

Not ready is 503, for a server and for a model, as a load balancer expects; Triton says 400.
Sources: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md;
Triton's docs/protocol/extension_{model_configuration,statistics,model_repository}.md.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from gurmukhi.inference import open_inference_grpc_pb2 as pb
from server.errors import InvalidRequest
from server.json_body import expect, expect_text, kind_of, read_object, show, write_json
from server.proto_json import write_plainly
from server.rest_errors import write_error
from server.web import JSON, Endpoint, HttpRequest, HttpResponse, expect_plain

_SERVICE: Final = "inference.GRPCInferenceService"
# What this way to say the protocol adds to it.
_EXTENSION: Final = "binary_tensor_data"


def server_live() -> Endpoint:
    """GET /v2/health/live."""
    return _get("ServerLive", pb.ServerLiveRequest(), _write_live)


def server_ready() -> Endpoint:
    """GET /v2/health/ready."""
    return _get("ServerReady", pb.ServerReadyRequest(), partial(_write_ready, {}))


def server_metadata() -> Endpoint:
    """GET /v2."""
    return _get("ServerMetadata", pb.ServerMetadataRequest(), _write_server)


def model_ready(name: str, version: str) -> Endpoint:
    """GET /v2/models/{name}[/versions/{version}]/ready."""
    request = pb.ModelReadyRequest(name=name, version=version)
    return _get("ModelReady", request, partial(_write_ready, {"name": name}))


def model_metadata(name: str, version: str) -> Endpoint:
    """GET /v2/models/{name}[/versions/{version}]."""
    return _get("ModelMetadata", pb.ModelMetadataRequest(name=name, version=version), _write_plain)


def model_config(name: str, version: str) -> Endpoint:
    """GET /v2/models/{name}[/versions/{version}]/config."""
    return _get("ModelConfig", pb.ModelConfigRequest(name=name, version=version), _write_config)


def model_statistics(name: str, version: str) -> Endpoint:
    """GET /v2/models[/{name}[/versions/{version}]]/stats."""
    request = pb.ModelStatisticsRequest(name=name, version=version)
    return _get("ModelStatistics", request, _write_plain)


def repository_index() -> Endpoint:
    """POST /v2/repository/index."""
    return _endpoint("RepositoryIndex", _read_index, _write_index)


def model_load(name: str, version: str) -> Endpoint:
    """POST /v2/repository/models/{name}/load."""
    make = pb.RepositoryModelLoadRequest
    return _endpoint("RepositoryModelLoad", partial(_read_change, make, name), _write_plain)


def model_unload(name: str, version: str) -> Endpoint:
    """POST /v2/repository/models/{name}/unload."""
    make = pb.RepositoryModelUnloadRequest
    return _endpoint("RepositoryModelUnload", partial(_read_change, make, name), _write_plain)


def _endpoint(
    method: str,
    read: Callable[[HttpRequest], Any],
    write: Callable[[Any, HttpRequest], HttpResponse],
) -> Endpoint:
    return Endpoint(f"{_SERVICE}/{method}", read, write, write_error)


def _get(method: str, message: Any, write: Callable[[Any, HttpRequest], HttpResponse]) -> Endpoint:
    """An endpoint whose path says all there is to say."""
    return _endpoint(method, lambda request: message, write)


def _read_index(request: HttpRequest) -> pb.RepositoryIndexRequest:
    expect_plain(request)
    document = read_object(request.body, ("ready",))
    return pb.RepositoryIndexRequest(ready=expect(document.get("ready", False), bool, "ready"))


def _read_change(make: Callable[..., Any], name: str, request: HttpRequest) -> Any:
    expect_plain(request)
    document = read_object(request.body, ("parameters",))
    message = make(model_name=name)
    for key, item in expect(document.get("parameters", {}), dict, "parameters").items():
        where = f"parameters[{show(key)}]"
        parameter = message.parameters[expect_text(key, where)]
        if type(item) is bool:
            parameter.bool_param = item
        elif type(item) is str:
            parameter.string_param = expect_text(item, where)
        elif type(item) is int and -(2**63) <= item < 2**63:
            parameter.int64_param = item
        else:
            raise InvalidRequest(where, f"is {kind_of(item)}; expected a string or boolean")
    return message


def _write_plain(message: Any, request: HttpRequest) -> HttpResponse:
    return _ok(write_plainly(message))


def _write_config(message: pb.ModelConfigResponse, request: HttpRequest) -> HttpResponse:
    return _ok(write_plainly(message.config))


def _write_index(message: pb.RepositoryIndexResponse, request: HttpRequest) -> HttpResponse:
    return _ok([write_plainly(entry) for entry in message.models])


def _write_server(message: pb.ServerMetadataResponse, request: HttpRequest) -> HttpResponse:
    said = write_plainly(message)
    said["extensions"].append(_EXTENSION)
    return _ok(said)


def _write_live(message: pb.ServerLiveResponse, request: HttpRequest) -> HttpResponse:
    return HttpResponse(200 if message.live else 503, JSON, write_json({"live": message.live}))


def _write_ready(said: dict[str, str], message: Any, request: HttpRequest) -> HttpResponse:
    body = write_json({**said, "ready": message.ready})
    return HttpResponse(200 if message.ready else 503, JSON, body)


def _ok(value: Any) -> HttpResponse:
    return HttpResponse(200, JSON, write_json(value))
