"""KServe's Python client, in an environment of its own: it pins other versions than we do."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from conftest import RunningServer
from stock import our_digits, run_client

KSERVE = "kserve==0.21.0"


@pytest.fixture(scope="module")
def kserve() -> Path:
    """A Python with KServe's client, which pins other versions; made once, in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gurmukhi-tests"
    home = cache / f"{KSERVE}-py{sys.version_info.major}.{sys.version_info.minor}"
    finished = home / "finished"
    if not finished.exists():
        venv.create(home, with_pip=True, clear=True)
        done = subprocess.run(
            [home / "bin/python", "-m", "pip", "install", "-q", KSERVE, "pillow"],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"{KSERVE} cannot be installed: {done.stderr.decode()[-200:]}")
        finished.touch()
    return home / "bin/python"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kserves_client_gets_readiness_and_predictions(server: RunningServer, kserve: Path) -> None:
    answers = run_client(
        kserve,
        """
import asyncio
from kserve import InferInput, InferRequest, InferenceGRPCClient
from kserve.protocol.infer_type import RequestedOutput
from PIL import Image

def encode(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()

def outputs(reply):
    return {output.name: output.as_numpy().tolist() for output in reply.outputs}

def text(element):
    return element.decode() if isinstance(element, bytes) else element

async def main():
    client = InferenceGRPCClient(target)
    shape = list(images.shape)

    async def infer(tensor, **fields):
        return outputs(await client.infer(InferRequest("mlp", [tensor], **fields)))

    raw = InferInput("pixels", shape, "UINT8")
    raw.set_data_from_numpy(images, binary_data=True)
    typed = InferInput("pixels", shape, "UINT8", data=images.ravel().tolist())
    fp32 = InferInput(
        "pixels", shape, "FP32", data=(images / 255).ravel().tolist(), parameters={"range": "0-1"}
    )
    pictures = InferInput("image", [len(images)], "BYTES", data=[encode(one) for one in images])
    classes = [RequestedOutput("probabilities", {"classification": 1})]
    print(json.dumps({
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model": await client.is_model_ready("mlp"),
        "digits": [(await infer(one))["digit"] for one in (raw, typed, fp32, pictures)],
        "best": [
            text(best) for (best,) in
            (await infer(typed, request_outputs=classes))["probabilities"]
        ],
    }))

asyncio.run(main())
""",
        server,
    )
    digits = our_digits(server, "mlp")
    assert (answers["live"], answers["ready"], answers["model"]) == (True, True, True)
    assert answers["digits"] == [digits] * 4
    assert [int(text.split(":")[1]) for text in answers["best"]] == digits
