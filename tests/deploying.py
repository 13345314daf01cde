"""The manifests of deploy/, rendered by kustomize, for the tests of them."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
TOOLS: Final = ROOT / "build" / "deploy-tools"

Manifest = dict[str, Any]

COMPONENTS: Final = ("hpa", "models-image", "models-init", "monitoring", "tls")
# What kustomize can render: the folders, and each component on top of the local overlay.
RENDERED: Final = (
    "base",
    "overlays/local",
    "overlays/production",
    "kserve/knative",
    "kserve/standard",
    *(f"local+{name}" for name in COMPONENTS),
    "production+tls",
    "production+models-image",
)


def tool(name: str) -> str:
    """The path of a tool; without it a test is skipped, but fails in `make deploy-check`."""
    found = TOOLS / name
    path = str(found) if found.exists() else shutil.which(name) if name != "kubectl" else None
    if path is None:
        reason = f"{name} is not here: make deploy-check fetches kubectl; promtool is Debian's"
        if os.environ.get("GURMUKHI_DEPLOY_CHECK"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@cache
def render(place: str) -> list[Manifest]:
    """What `kubectl apply -k` would send; `overlay+component` adds a component to an overlay."""
    kubectl = tool("kubectl")
    if "+" not in place:
        folder = DEPLOY / place
    else:
        overlay, component = place.split("+")
        folder = ROOT / "build" / "deploy-check" / place
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(DEPLOY / "overlays" / overlay, folder)],
            "components": [os.path.relpath(DEPLOY / "components" / component, folder)],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(content), encoding="utf-8")
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def find(place: str, kind: str, name: str = "") -> Manifest:
    """The one manifest of a kind, or of a kind and name."""
    (found,) = (
        one
        for one in render(place)
        if one["kind"] == kind and name in ("", one["metadata"]["name"])
    )
    return found


def pod_specs(place: str) -> Iterator[tuple[str, Manifest]]:
    """Each pod that would be made: the kind and name of its owner, and its spec."""
    for one in render(place):
        spec = one.get("spec", {})
        owner = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "CronJob":
            yield owner, spec["jobTemplate"]["spec"]["template"]["spec"]
        elif one["kind"] in ("Deployment", "Job"):
            yield owner, spec["template"]["spec"]
        elif one["kind"] == "ServingRuntime":
            yield owner, spec


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod, those that run before the others included."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def server_environment(place: str) -> dict[str, str]:
    """The variables that the server's container gets."""
    container = find(place, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    config = container["envFrom"][0]["configMapRef"]["name"]
    variables = dict(find(place, "ConfigMap", config)["data"])
    variables.update({one["name"]: one["value"] for one in container.get("env", [])})
    return variables


def run_promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool in a folder."""
    command = [tool("promtool"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
