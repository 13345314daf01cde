"""Every example of docs/json.md and of the README does what it says."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, RunningServer, serving
from PIL import Image

from gurmukhi.synthetic import synthetic_digits
from server.connect import ENDPOINTS
from server.rest import find_endpoint
from server.web import Endpoint

PAGE = (ROOT / "docs" / "json.md").read_text()
README = (ROOT / "README.md").read_text()


def examples_of(page: str) -> list[str]:
    """The commands of a page that call curl."""
    return re.findall(r"^\$ (.*curl .*)$", page, re.MULTILINE)


EXAMPLES = examples_of(PAGE)


@pytest.fixture(scope="module")
def web_server(models: Path) -> Iterator[RunningServer]:
    with serving(models, "--front", "envoy", "--model-control", "explicit") as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    Image.fromarray(synthetic_digits(1, 7)[0][0]).save(folder / "digit.png")
    return folder


def test_the_readme_has_examples() -> None:
    assert len(examples_of(README)) == 2


@pytest.mark.parametrize("example", [*EXAMPLES, *examples_of(README)])
def test_an_example_is_answered(web_server: RunningServer, folder: Path, example: str) -> None:
    command = example.replace("localhost:8001", web_server.target)
    command = command.replace("curl ", "curl --max-time 20 --show-error --fail-with-body ")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    json.loads(done.stdout)


def test_every_path_has_an_example() -> None:
    shown = {path for one in EXAMPLES for path in re.findall(r"localhost:8001(/[^ '?]*)", one)}
    assert set(ENDPOINTS) <= shown
    of_model = ("", "/ready", "/config", "/stats", "/infer")
    versioned = {f"/v2/models/x/versions/1{rest}" for rest in of_model}
    expected = {f"/v2/models/x{rest}" for rest in of_model} | versioned
    expected |= {f"/v2/repository/models/x/{verb}" for verb in ("load", "unload")}
    expected |= {"/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats"}
    expected |= {"/v2/repository/index", *ENDPOINTS}
    for path in expected:  # all of them are paths
        assert any(isinstance(find_endpoint(verb, path), Endpoint) for verb in ("GET", "POST"))
    assert {re.sub("models/(mlp|svm-[a-z]+)", "models/x", path) for path in shown} == expected
