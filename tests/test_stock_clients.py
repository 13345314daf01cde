"""NVIDIA's tritonclient, as any user of it would call the server; nothing of ours is imported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import RunningServer, serving
from stock import IMAGES, MODELS, our_digits, run_client

from gurmukhi.labels import GLYPHS

TRITON = """
import atexit
import tritonclient.grpc as triton

client = triton.InferenceServerClient(target)
atexit.register(client.close)  # left to the interpreter's end, it sometimes waits for ever

def tensor(name, array, datatype):
    made = triton.InferInput(name, array.shape, datatype)
    made.set_data_from_numpy(array)
    return made

def refusal(call):
    try:
        call()
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
"""


def test_a_stock_triton_client_gets_metadata_readiness_and_predictions(
    server: RunningServer,
) -> None:
    answers = run_client(
        sys.executable,
        TRITON
        + """
models = {}
for name in ("mlp", "svm-linear", "svm-poly", "svm-rbf", "svm-sigmoid"):
    reply = client.infer(name, [tensor("pixels", images, "UINT8")], request_id="seven")
    models[name] = {
        "ready": client.is_model_ready(name),
        "inputs": [one["name"] for one in client.get_model_metadata(name, as_json=True)["inputs"]],
        "digits": reply.as_numpy("digit").tolist(),
        "id": reply.get_response().id,
    }
print(json.dumps({
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "missing": client.is_model_ready("nothing"),
    "extensions": client.get_server_metadata(as_json=True)["extensions"],
    "unknown": refusal(lambda: client.infer("nothing", [tensor("pixels", images, "UINT8")])),
    "models": models,
}))
""",
        server,
    )
    assert (answers["live"], answers["ready"], answers["missing"]) == (True, True, False)
    assert "classification" in answers["extensions"]
    assert answers["unknown"][0] == "StatusCode.NOT_FOUND"
    for name in MODELS:
        assert answers["models"][name] == {
            "ready": True,
            "inputs": ["pixels"],
            "digits": our_digits(server, name),
            "id": "seven",
        }


def test_a_triton_client_gets_classes_and_sends_pictures_and_fp32(server: RunningServer) -> None:
    answers = run_client(
        sys.executable,
        TRITON
        + """
from PIL import Image

def encode(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()

pictures = np.array([encode(image) for image in images], dtype=object)
scaled = images.astype(np.float32) / 255
top = [triton.InferRequestedOutput("probabilities", class_count=2)]
classes = client.infer("mlp", [tensor("pixels", images, "UINT8")], outputs=top)
print(json.dumps({
    "classes": [
        [text.decode() for text in row] for row in classes.as_numpy("probabilities").tolist()
    ],
    "pictures": client.infer(
        "mlp", [tensor("image", pictures, "BYTES")]
    ).as_numpy("digit").tolist(),
    "fp32": client.infer(
        "mlp", [tensor("pixels", scaled, "FP32")], parameters={"range": "0-1"}
    ).as_numpy("digit").tolist(),
    "undeclared": refusal(lambda: client.infer("mlp", [tensor("pixels", scaled, "FP32")])),
}))
""",
        server,
    )
    digits = our_digits(server, "mlp")
    assert answers["pictures"] == answers["fp32"] == digits
    for texts, digit in zip(answers["classes"], digits, strict=True):
        scores, labels, glyphs = zip(*(text.split(":") for text in texts), strict=True)
        assert float(scores[0]) >= float(scores[1])
        assert (int(labels[0]), glyphs[0]) == (digit, GLYPHS[digit])
    status, said = answers["undeclared"]
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "parameter 'range'" in said


def test_a_triton_client_gets_configuration_statistics_and_index(server: RunningServer) -> None:
    answers = run_client(
        sys.executable,
        TRITON
        + """
def count():
    (mlp,) = client.get_inference_statistics("mlp", as_json=True)["model_stats"]
    return int(mlp.get("inference_count", 0))

before = count()
client.infer("mlp", [tensor("pixels", images, "UINT8")])
print(json.dumps({
    "config": client.get_model_config("mlp", as_json=True)["config"],
    "counted": count() - before,
    "index": client.get_model_repository_index(as_json=True)["models"],
    "load": refusal(lambda: client.load_model("mlp")),
    "unload": refusal(lambda: client.unload_model("mlp")),
}))
""",
        server,
    )
    config = answers["config"]
    assert (config["name"], config["backend"]) == ("mlp", "onnxruntime")
    assert config["input"] == [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": ["32", "32"]}]
    assert answers["counted"] == len(IMAGES)
    assert [(entry["name"], entry["state"]) for entry in answers["index"]] == [
        (name, "READY") for name in MODELS
    ]
    for refused in (answers["load"], answers["unload"]):
        assert refused[0] == "StatusCode.UNIMPLEMENTED"


def test_a_triton_client_unloads_and_loads_a_model_where_that_is_allowed(models: Path) -> None:
    program = (
        TRITON
        + """
def states():
    return {
        entry["name"]: entry["state"]
        for entry in client.get_model_repository_index(as_json=True)["models"]
    }

client.unload_model("svm-poly")
gone = [client.is_model_ready("svm-poly"), states()["svm-poly"]]
client.load_model("svm-poly")
print(json.dumps({"gone": gone, "back": [client.is_model_ready("svm-poly"), states()["svm-poly"]],
                  "unknown": refusal(lambda: client.load_model("nothing"))}))
"""
    )
    with serving(models, "--model-control", "explicit") as running:
        answers = run_client(sys.executable, program, running)
    assert answers["gone"] == [False, "UNAVAILABLE"]
    assert answers["back"] == [True, "READY"]
    assert answers["unknown"][0] == "StatusCode.NOT_FOUND"


def test_a_triton_client_streams(server: RunningServer) -> None:
    answers = run_client(
        sys.executable,
        TRITON
        + """
import queue

replies = queue.Queue()
client.start_stream(lambda result, error: replies.put((result, error)))
try:  # its thread would keep the process from ending
    for number, image in enumerate(images):
        name = "nothing" if number == 3 else "mlp"
        client.async_stream_infer(
            name, [tensor("pixels", image[None], "UINT8")], request_id=str(number)
        )
    got = [replies.get(timeout=20) for _ in images]
finally:
    client.stop_stream(cancel_requests=True)
print(json.dumps([
    [None, error.message()] if error
    else [int(result.get_response().id), int(result.as_numpy("digit")[0])]
    for result, error in got
]))
""",
        server,
    )
    expected: list[list[Any]] = [[n, digit] for n, digit in enumerate(our_digits(server, "mlp"))]
    assert answers[3][0] is None
    assert "no model 'nothing'" in answers[3][1]
    expected[3] = answers[3]
    assert answers == expected


def test_an_asyncio_triton_client_gets_many_answers_at_once(server: RunningServer) -> None:
    answers = run_client(
        sys.executable,
        """
import asyncio
import tritonclient.grpc.aio as triton

async def main():
    async with triton.InferenceServerClient(target) as client:
        async def digit(image):
            tensor = triton.InferInput("pixels", [1, 32, 32], "UINT8")
            tensor.set_data_from_numpy(image[None])
            reply = await client.infer("svm-rbf", [tensor])
            return int(reply.as_numpy("digit")[0])

        digits = await asyncio.gather(*(digit(image) for image in images))
        config = await client.get_model_config("svm-rbf", as_json=True)
        print(json.dumps({"digits": digits, "name": config["config"]["name"]}))

asyncio.run(main())
""",
        server,
    )
    assert answers == {"digits": our_digits(server, "svm-rbf"), "name": "svm-rbf"}


def test_our_stubs_can_be_imported_beside_tritonclients() -> None:
    program = (
        "from gurmukhi.inference import open_inference_grpc_pb2 as ours\n"
        "from tritonclient.grpc import service_pb2 as theirs\n"
        "request = ours.ModelInferRequest(model_name='mlp', raw_input_contents=[b'x'])\n"
        "assert theirs.ModelInferRequest.FromString(request.SerializeToString()).model_name\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
