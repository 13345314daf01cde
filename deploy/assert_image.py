"""Fail the build of an image that holds what it should not, or does not start.

Run by the Containerfile as the image's user, with the name of the target.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

_COMMANDS = {
    "server": "gurmukhi-serve",
    "envoy": "gurmukhi-serve",
    "evaluator": "gurmukhi-evaluate",
    "trainer": "gurmukhi-train",
}
_TRAINING = ("torch", "sklearn", "onnx", "skl2onnx", "matplotlib", "scipy", "pandas")
_FORBIDDEN = {
    "server": ("setuptools", *_TRAINING),
    "envoy": ("setuptools", *_TRAINING),
    "evaluator": ("setuptools", *_TRAINING, "onnxruntime"),
    "trainer": (),  # torch asks for setuptools
}
_TOOLS = ("pip", "pip3", "gcc", "g++", "cc", "c++", "clang", "make", "ld", "cargo", "git")


def main(target: str) -> int:
    """Say what is wrong, a line each; the exit code is how many."""
    wrong = [
        f"module {name} can be imported"
        for name in ("pip", "ensurepip", *_FORBIDDEN[target])
        if importlib.util.find_spec(name)
    ]
    wrong += [f"{name} is there: {shutil.which(name)}" for name in _TOOLS if shutil.which(name)]
    if os.getuid() == 0:
        wrong.append("runs as root")
    environment = Path(sys.prefix)
    wrong += [
        f"{path} can be written"
        for path in (environment, environment / "bin", Path("/usr"), Path("/etc"))
        if os.access(path, os.W_OK)
    ]
    listed = Path(f"/usr/share/sbom/gurmukhi-{target}.cdx.json")
    if not listed.is_file() or "CycloneDX" not in listed.read_text(encoding="utf-8"):
        wrong.append(f"{listed} is no CycloneDX list")
    command = [str(environment / "bin" / _COMMANDS[target]), "--version"]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        wrong.append(f"{command[0]} does not start: {done.stderr}")
    for line in wrong:
        print(f"{target}: {line}", file=sys.stderr)  # noqa: T201
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
