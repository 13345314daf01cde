"""A small model repository and a server of it, made once for all tests."""

import gc
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Tests run in as many processes as there are CPUs, and each computes on one thread: those of more
# would wait for one another. NumPy and PyTorch look at this when they are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import pytest
from filelock import FileLock
from hypothesis import settings

# How long one case takes says more of the machine than of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

ROOT = Path(__file__).parent.parent


def pytest_collection_finish() -> None:
    """What was imported stays, so no collection need go through it."""
    gc.freeze()


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A `gurmukhi-serve` process that has said that it is ready."""

    process: subprocess.Popen[str]
    grpc_port: int
    http_port: int

    @property
    def target(self) -> str:
        return f"localhost:{self.grpc_port}"

    @property
    def http(self) -> str:
        return f"http://localhost:{self.http_port}"


@contextmanager
def serving(models: Path, *flags: str, prefix: Sequence[str] = ()) -> Iterator[RunningServer]:
    """Start a server of a model repository on free ports, and stop it at the end."""
    command = [*prefix, sys.executable, "-m", "server", "--models", str(models)]
    command += ["--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        found = re.search(r"gRPC on \S+:(\d+), HTTP on \S+:(\d+)", ready)
        assert found, f"the server did not become ready: {ready!r}"
        yield RunningServer(process, int(found[1]), int(found[2]))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        process.stdout.close()


def run_command(
    *words: str, environment: dict[str, str] | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run `python -m <words>` from the repository with no GURMUKHI_* settings of the caller's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GURMUKHI_")}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**kept, **(environment or {})},
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def heed_interrupts() -> None:
    """A shell has its background jobs ignore SIGINT, and Python would keep that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with version 1 of all five models, fitted on synthetic digits.

    Where the tests run in several processes the first one fits, and the others wait for it.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    repository = folder / "repository" / "models"
    flags = ("--data", "synthetic", "--versions", "1", "--parity-images", "200", "-q")
    with FileLock(folder / "repository.lock"):
        if not repository.exists():
            done = run_command("trainer", "fit", *flags, "--models", str(repository))
            assert done.returncode == 0, done.stderr
    return repository


_ENVOY = pytest.param("envoy", marks=[pytest.mark.slow, pytest.mark.envoy])


@pytest.fixture(scope="session", params=["grpcio", _ENVOY])
def front(request: pytest.FixtureRequest) -> str:
    """What answers on the port of the servers that a test starts; it runs once with each."""
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def _front_of_servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that a test starts have the front that the test is for; the default, for others."""
    if "front" in request.fixturenames:
        monkeypatch.setenv("GURMUKHI_FRONT", request.getfixturevalue("front"))


@pytest.fixture(scope="session")
def server(models: Path, front: str) -> Iterator[RunningServer]:
    """A server of `models`, for tests that leave it as it was."""
    with serving(models, "--front", front) as running:
        yield running


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """The folder of the real digits; tests that need them are skipped where it is not known."""
    folder = os.environ.get("GURMUKHI_DATA_DIR")
    if not folder:
        pytest.skip("GURMUKHI_DATA_DIR is not set")
    return Path(folder)
