"""Every rendered manifest is what the API server, or its operator, would take."""

import json
from collections.abc import Iterator
from typing import Final

import pytest

pytest.importorskip("kubernetes_validate")

import kubernetes_validate
from deploying import RENDERED, Manifest, render
from operator_schemas import GROUPS, operator_validator

# The oldest that the manifests are for, and the one in which image volumes are on for everybody.
_OLDEST: Final = "1.32"
_IMAGE_VOLUMES: Final = "1.35"


@pytest.mark.parametrize("place", RENDERED)
def test_every_manifest_is_valid(place: str) -> None:
    manifests = render(place)
    assert manifests
    for manifest in manifests:
        errors = list(_errors(place, manifest))
        assert not errors, f"{manifest['kind']}/{manifest['metadata']['name']}: {errors}"


@pytest.mark.parametrize(
    ("place", "kind", "path"),
    [
        ("overlays/local", "Deployment", "spec"),
        ("production+tls", "Certificate", "spec"),
        ("production+tls", "PodMonitor", "spec"),
        ("kserve/standard", "InferenceService", "spec.predictor.model"),
        ("kserve/standard", "ServingRuntime", "spec"),
    ],
)
def test_a_misspelt_field_is_found(place: str, kind: str, path: str) -> None:
    manifest = json.loads(json.dumps(next(one for one in render(place) if one["kind"] == kind)))
    inner = manifest
    for key in path.split("."):
        inner = inner[key]
    inner["replicass"] = 2
    assert any("replicass" in error for error in _errors(place, manifest))


def _errors(place: str, manifest: Manifest) -> Iterator[str]:
    group = manifest["apiVersion"]
    if group in GROUPS:
        for error in operator_validator(group, manifest["kind"]).iter_errors(manifest):
            yield f"{list(error.path)}: {error.message}"
        return
    version = _IMAGE_VOLUMES if place.endswith("models-image") else _OLDEST
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{list(error.path)}: {error.message}"
