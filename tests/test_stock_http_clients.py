"""tritonclient's HTTP client, blocking and asyncio, in a process of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RunningServer, serving
from stock import MODELS, our_digits, run_client

# What each program begins with.
TRITON = """
import tritonclient.http as triton
client = triton.InferenceServerClient(target)

def tensor(name, array, datatype, binary=True):
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made

def refusal(call):
    try:
        call()
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
"""


@pytest.fixture(scope="module")
def web_server(models: Path) -> Iterator[RunningServer]:
    with serving(models, "--front", "envoy", "--model-control", "explicit") as running:
        yield running


@pytest.mark.parametrize("is_binary", [True, False])
def test_it_gets_our_digits_of_every_model(web_server: RunningServer, is_binary: bool) -> None:
    program = f"""
found = {{}}
for name in {MODELS}:
    pixels = tensor("pixels", images, "UINT8", {is_binary})
    wanted = [triton.InferRequestedOutput(one, binary_data={is_binary})
              for one in ("digit", "scores")]
    reply = client.infer(name, [pixels], outputs=wanted, request_id="seven")
    default = client.infer(name, [pixels], model_version="1")
    assert np.array_equal(reply.as_numpy("scores"), default.as_numpy("scores"))
    found[name] = [reply.get_response()["id"], reply.as_numpy("digit").tolist(),
                   list(reply.as_numpy("scores").shape)]
print(json.dumps(found))
"""
    answers = run_client(sys.executable, TRITON + program, web_server)
    for name in MODELS:
        assert answers[name] == ["seven", our_digits(web_server, name), [10, 10]]


def test_it_sends_pictures_and_fp32_and_gets_classes(web_server: RunningServer) -> None:
    program = """
from PIL import Image

def encode(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()

pictures = np.array([encode(image) for image in images], dtype=object)
scaled = images.astype(np.float32) / 255
top = [[triton.InferRequestedOutput("probabilities", binary, class_count=1)]
       for binary in (True, False)]
classes = [client.infer("mlp", [tensor("pixels", images, "UINT8")], outputs=one) for one in top]
fp32 = [client.infer("mlp", [tensor("pixels", scaled, "FP32", binary)],
                     parameters={"range": "0-1"}) for binary in (True, False)]
print(json.dumps({
    "pictures": client.infer("mlp", [tensor("image", pictures, "BYTES")])
                      .as_numpy("digit").tolist(),
    "fp32": [one.as_numpy("digit").tolist() for one in fp32],
    "classes": [[text.decode() if isinstance(text, bytes) else text
                 for text in one.as_numpy("probabilities").ravel().tolist()] for one in classes],
    "undeclared": refusal(lambda: client.infer("mlp", [tensor("pixels", scaled, "FP32")])),
    "unknown": refusal(lambda: client.infer("nothing", [tensor("pixels", images, "UINT8")])),
    "compressed": refusal(lambda: client.infer(
        "mlp", [tensor("pixels", images, "UINT8")], request_compression_algorithm="gzip")),
}))
"""
    answers = run_client(sys.executable, TRITON + program, web_server)
    digits = our_digits(web_server, "mlp")
    assert answers["pictures"] == digits
    assert answers["fp32"] == [digits, digits]
    assert answers["classes"][0] == answers["classes"][1]
    assert [int(text.split(":")[1]) for text in answers["classes"][0]] == digits
    assert answers["undeclared"][0] == "400"
    assert "parameter 'range'" in answers["undeclared"][1]
    assert answers["unknown"][0] == "404"
    assert answers["compressed"][0] == "501"


def test_it_sends_compressed_bodies_where_they_are_taken(models: Path) -> None:
    program = """
import gzip
import urllib.error
import urllib.request

def post(body):
    headers = {"content-encoding": "gzip", "inference-header-content-length": "0"}
    url = f"http://{target}/v2/models/mlp/infer"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, body, headers)).status
    except urllib.error.HTTPError as error:
        return error.code

pixels = [tensor("pixels", images, "UINT8")]
print(json.dumps({
    "digits": [client.infer("mlp", pixels, request_compression_algorithm=one)
                     .as_numpy("digit").tolist() for one in ("gzip", "deflate")],
    "whole": post(gzip.compress(images.tobytes())),
    "bomb": post(gzip.compress(bytes(10**7))),
    "cut": post(gzip.compress(images.tobytes())[:-9]),
    "damaged": post(b"no gzip"),
}))
"""
    with serving(models, "--front", "envoy", "--compression") as running:
        answers = run_client(sys.executable, TRITON + program, running)
        assert answers["digits"] == [our_digits(running, "mlp")] * 2
    assert [answers[one] for one in ("whole", "bomb", "cut", "damaged")] == [200, 413, 400, 400]


def test_it_gets_metadata_and_has_models_come_and_go(web_server: RunningServer) -> None:
    program = """
def states():
    return {one["name"]: one["state"] for one in client.get_model_repository_index()}

said = {
    "live": client.is_server_live(), "ready": client.is_server_ready(),
    "models": [client.is_model_ready(name) for name in ("mlp", "nothing")],
    "server": client.get_server_metadata()["extensions"],
    "inputs": client.get_model_metadata("mlp", "1")["inputs"],
    "config": client.get_model_config("mlp")["max_batch_size"],
    "statistics": [one["name"] for one in client.get_inference_statistics()["model_stats"]],
}
client.unload_model("svm-poly")
said["gone"] = [client.is_model_ready("svm-poly"), states()["svm-poly"]]
client.load_model("svm-poly")
said["back"] = [client.is_model_ready("svm-poly"), states()["svm-poly"]]
said["refused"] = refusal(lambda: client.load_model("nothing"))
print(json.dumps(said))
"""
    answers = run_client(sys.executable, TRITON + program, web_server)
    assert (answers["live"], answers["ready"], answers["models"]) == (True, True, [True, False])
    assert "binary_tensor_data" in answers["server"]
    assert answers["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 32, 32]}]
    assert answers["config"] == 1000
    assert answers["statistics"] == list(MODELS)
    assert (answers["gone"], answers["back"]) == ([False, "UNAVAILABLE"], [True, "READY"])
    assert answers["refused"][0] == "404"


def test_the_asyncio_one_gets_many_answers_at_once(web_server: RunningServer) -> None:
    program = """
import asyncio
import tritonclient.http.aio as triton

async def main():
    async with triton.InferenceServerClient(target) as client:
        async def digit(image):
            tensor = triton.InferInput("pixels", [1, 32, 32], "UINT8")
            tensor.set_data_from_numpy(image[None])
            return int((await client.infer("mlp", [tensor])).as_numpy("digit")[0])

        print(json.dumps(await asyncio.gather(*(digit(image) for image in images))))

asyncio.run(main())
"""
    answers = run_client(sys.executable, program, web_server)
    assert answers == our_digits(web_server, "mlp")
