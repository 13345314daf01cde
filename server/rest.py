"""Find what an HTTP path means: Open Inference v2 under /v2, and methods by their own names."""

from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import unquote

from server import connect
from server.connect import timeout_seconds
from server.json_body import show, write_json
from server.rest_errors import wrong_method
from server.rest_inference import infer_endpoint
from server.rest_metadata import (
    model_config,
    model_load,
    model_metadata,
    model_ready,
    model_statistics,
    model_unload,
    repository_index,
    server_live,
    server_metadata,
    server_ready,
)
from server.web import JSON, Endpoint, HttpResponse

__all__ = ["find_endpoint", "no_such_path", "timeout_seconds"]

_GET: Final = "GET"
_POST: Final = "POST"
_ROOT: Final = "v2"
_Found = tuple[str, Callable[[], Endpoint]]

_FIXED: Final[dict[str, _Found]] = {
    "/v2": (_GET, server_metadata),
    "/v2/health/live": (_GET, server_live),
    "/v2/health/ready": (_GET, server_ready),
    "/v2/models/stats": (_GET, partial(model_statistics, "", "")),
    "/v2/repository/index": (_POST, repository_index),
    **{path: (_POST, partial(lambda found: found, one)) for path, one in connect.ENDPOINTS.items()},
}
# What stands behind a model, or behind a version of it.
_OF_MODEL: Final[dict[str, tuple[str, Callable[[str, str], Endpoint]]]] = {
    "": (_GET, model_metadata),
    "ready": (_GET, model_ready),
    "config": (_GET, model_config),
    "stats": (_GET, model_statistics),
    "infer": (_POST, infer_endpoint),
}
_OF_REPOSITORY: Final[dict[str, tuple[str, Callable[[str, str], Endpoint]]]] = {
    "load": (_POST, model_load),
    "unload": (_POST, model_unload),
}


def find_endpoint(method: str, path: str) -> Endpoint | HttpResponse | None:
    """What a path means, or the refusal of another method than its own; None for no such path."""
    found = _FIXED.get(path) or _find_model(path)
    if found is None:
        return None
    allowed, make = found
    if method != allowed:
        return wrong_method(method, allowed)
    return make()


def no_such_path(path: str) -> HttpResponse:
    """The answer to a path that means nothing here, in the words of whom it seems to come from."""
    said = f"nothing is at {show(path)!r}"
    if path.startswith(f"/{_ROOT}"):
        return HttpResponse(404, JSON, write_json({"error": said}))
    return HttpResponse(404, JSON, write_json({"code": "unimplemented", "message": said}))


def _find_model(path: str) -> _Found | None:
    # /v2/models/{name}[/versions/{version}][/{what}] or /v2/repository/models/{name}/{what}
    root, *parts = path[1:].split("/")
    if root != _ROOT or not path.startswith("/"):
        return None
    table = _OF_MODEL
    if parts[:1] == ["repository"]:
        parts, table = parts[1:], _OF_REPOSITORY
    if len(parts) < 2 or parts[0] != "models" or "" in parts:
        return None
    try:
        name, *rest = [unquote(part, errors="strict") for part in parts[1:]]
    except UnicodeDecodeError:
        return None
    version = ""
    if table is _OF_MODEL and len(rest) > 1 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    if len(rest) > 1:
        return None
    found = table.get("".join(rest))
    if found is None:
        return None
    allowed, make = found
    return allowed, partial(make, name, version)
