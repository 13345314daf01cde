"""The Containerfile, the manifests and the guide name the same images, commands and alerts."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("yaml")

import yaml
from deploying import COMPONENTS, DEPLOY, ROOT, containers, pod_specs

from gurmukhi import __version__

CONTAINERFILE: Final = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
README: Final = (DEPLOY / "README.md").read_text(encoding="utf-8")


def test_each_image_of_the_manifests_has_a_target() -> None:
    targets = set(re.findall(r"^FROM runtime AS (\w+)$", CONTAINERFILE, re.MULTILINE))
    assert targets == {"server", "envoy", "evaluator", "trainer", "models"}
    for place in ("overlays/local", "overlays/production", "kserve/standard", "local+models-init"):
        for _, pod in pod_specs(place):
            for container in containers(pod):
                name = container["image"].rpartition("/")[2].partition(":")[0]
                assert name.removeprefix("gurmukhi-") in targets


@pytest.mark.parametrize("place", ["overlays/local", "overlays/production", "kserve/knative"])
def test_images_have_our_version(place: str) -> None:
    for _, pod in pod_specs(place):
        for container in containers(pod):
            assert container["image"].endswith(f":{__version__}")


def test_the_base_image_is_pinned_by_its_digest() -> None:
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", CONTAINERFILE, re.MULTILINE)
    assert set(re.findall(r"^FROM (\$\S+)", CONTAINERFILE, re.MULTILINE)) == {"${BASE}"}


def test_entry_points_are_commands_of_ours() -> None:
    commands = re.findall(r'^ENTRYPOINT \["(\S+)"\]$', CONTAINERFILE, re.MULTILINE)
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert len(commands) == 4
    assert all(f'{command} = "' in scripts for command in commands)


def test_what_is_copied_is_sent_to_the_builder() -> None:
    sent = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (?!--)(.+) \S+$", CONTAINERFILE, re.MULTILINE):
        for name in line.split():
            assert f"!{name}" in sent or (name.startswith("deploy/") and "!deploy/*.py" in sent)


def test_a_build_fails_on_what_a_server_must_not_hold() -> None:
    """Here, where the tests run, pip and PyTorch are."""
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "assert_image.py"), "server"], capture_output=True, text=True
    )
    assert done.returncode != 0
    for name in ("pip", "torch", "sklearn"):
        if importlib.util.find_spec(name):
            assert f"server: module {name} can be imported" in done.stderr


def test_a_container_that_is_not_sealed_is_found() -> None:
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "assert_sealed.py")], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "/ is not read-only" in done.stderr


@pytest.mark.parametrize("script", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_bash_and_the_guides_variables_are_theirs(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scripts = "".join(path.read_text(encoding="utf-8") for path in DEPLOY.glob("*.sh"))
    for variable in re.findall(r"^\| `([A-Z_]+)=", README, re.MULTILINE):
        assert variable in scripts


def test_the_guide_knows_every_component_and_alert() -> None:
    assert all(f"| `{name}` |" in README for name in COMPONENTS)
    rules = yaml.safe_load((DEPLOY / "components/monitoring/rules.yaml").read_text("utf-8"))
    for rule in (rule for group in rules["spec"]["groups"] for rule in group["rules"]):
        if alert := rule.get("alert"):
            # Pairs are written `GurmukhiNightlyFailed`, `…Missing`.
            tail = re.sub(r"^Gurmukhi(Nightly|ErrorBudgetBurns)", "…", alert)
            assert f"`{alert}`" in README or f"`{tail}`" in README


def test_the_guides_paths_exist() -> None:
    for path in re.findall(r"(?:-k |\]\(\.\./)([a-z][\w./-]+)", README):
        folder = path if path.startswith(("deploy", "docs")) else f"deploy/{path}"
        assert (ROOT / folder).exists(), folder
