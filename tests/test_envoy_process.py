"""Where the Envoy front lacks what it needs, that is said before anything is served."""

import sys
from pathlib import Path

import pytest
from conftest import run_command

from server.envoy_bootstrap import EnvoyMissing
from server.envoy_process import find_envoy


@pytest.mark.parametrize("package", ["envoy", "pyvoy._server"])
def test_a_missing_package_is_said_to_be_of_the_extra(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    with pytest.raises(EnvoyMissing, match="needs the extra `envoy`"):
        find_envoy()


def test_a_python_without_a_shared_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("find_libpython.candidate_paths", lambda: iter([]))
    with pytest.raises(EnvoyMissing, match="shared library"):
        find_envoy()


def test_check_looks_for_envoy(models: Path) -> None:
    flags = ("--models", str(models), "--check", "--front", "envoy")
    done = run_command("server", *flags)
    assert done.returncode == 0, done.stderr
    assert "--front envoy: Envoy and Python's shared library are there" in done.stdout
