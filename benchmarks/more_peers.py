"""Servers that are measured once, for the record: PyTriton, LitServe, BentoML and Ray Serve.

All but the first have no protocol of their own, so they are asked by HTTP/1.1 and answer in JSON.
"""

from pathlib import Path
from typing import Final

from benchmarks.peers import Launch, Peer, triton_libraries
from benchmarks.processes import free_port
from benchmarks.questions import answers_json, json_predict

_MODELS: Final = Path(__file__).parent / "peer_models"


def _pytriton(environment: Path, folder: Path, graph: Path, port: int) -> Launch:
    libraries = triton_libraries(environment)
    words = (graph, port, free_port())  # the last for HTTP, by which PyTriton asks its Triton
    return _script("pytriton_server.py", environment, *words, LD_LIBRARY_PATH=libraries)


def _litserve(environment: Path, folder: Path, graph: Path, port: int) -> Launch:
    return _script("litserve_server.py", environment, graph, port)


def _bentoml(environment: Path, folder: Path, graph: Path, port: int) -> Launch:
    flags = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(_MODELS)]
    return Launch(
        [str(environment / "bin/bentoml"), "serve", "bentoml_service:Digits", *flags],
        {"GRAPH": str(graph), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder)},
    )


def _ray(environment: Path, folder: Path, graph: Path, port: int) -> Launch:
    return _script("ray_server.py", environment, graph, port, RAY_USAGE_STATS_ENABLED="0")


def _script(name: str, environment: Path, *words: object, **variables: str) -> Launch:
    command = [str(environment / "bin/python"), str(_MODELS / name), *map(str, words)]
    return Launch(command, variables)


MORE_PEERS: Final = (
    Peer("pytriton", "nvidia-pytriton", ("nvidia-pytriton", "onnxruntime"), _pytriton),
    Peer(
        "litserve", "litserve", ("litserve", "onnxruntime"), _litserve, answers_json, json_predict
    ),
    Peer("bentoml", "bentoml", ("bentoml", "onnxruntime"), _bentoml, answers_json, json_predict),
    Peer("ray", "ray", ("ray[serve]", "onnxruntime"), _ray, answers_json, json_predict),
)
