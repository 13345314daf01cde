"""Programs of stock clients, each run in a process of its own against a server."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from conftest import RunningServer

from gurmukhi.client import DigitClient
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(10, 84)
MODELS = ("mlp", "svm-linear", "svm-poly", "svm-rbf", "svm-sigmoid")

# What each program begins with: sys.argv[1] is the server, standard input the images.
COMMON = """
import io, json, sys
import numpy as np
target = sys.argv[1]
images = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(-1, 32, 32)
"""


def run_client(python: str | Path, program: str, server: RunningServer) -> Any:
    """Run a program against a server, and read the JSON that it prints."""
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", COMMON + program, server.target],
        input=IMAGES.tobytes(),
        capture_output=True,
        timeout=120,
        check=False,
        cwd=tempfile.gettempdir(),  # so that no package of ours is found
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def our_digits(server: RunningServer, model: str) -> list[int]:
    """The digits of IMAGES by DigitService."""
    with DigitClient(server.target) as client:
        return [answer.digit for answer in client.classify_batch(list(IMAGES), model=model)]
