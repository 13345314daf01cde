"""The floor of the Envoy front: a bare handler in Envoy, with the same graph.

It reads a request, runs the graph and answers; it checks nothing, counts nothing, and knows neither
deadlines nor versions. What our front takes beside it is the service; what it takes is Envoy,
pyvoy, threads that wake one another, and the graph. `python -m benchmarks.envoy_floor GRAPH`.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from benchmarks.processes import free_port
from gurmukhi.command import Parser
from gurmukhi.image import SIDE
from gurmukhi.inference import open_inference_grpc_pb2 as inference
from server.config import ServerConfig
from server.cpus import pin
from server.envoy_bootstrap import bootstrap
from server.envoy_calls import Event, Receive, Send
from server.envoy_process import find_envoy
from server.flags import add_arguments
from server.grpc_wire import CONTENT_TYPE, frame, status_headers

_GRAPH: Final = "GURMUKHI_FLOOR_GRAPH"
_PORT: Final = "GURMUKHI_FLOOR_PORT"
_PREFIX_BYTES: Final = 5
_START: Final[Event] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", CONTENT_TYPE)],
    "trailers": True,
}
_END: Final[Event] = {
    "type": "http.response.trailers",
    "headers": status_headers(0),
    "more_trailers": False,
}


class Floor:
    """The ASGI application."""

    def __init__(self) -> None:
        self._session: Any = None
        self._names: list[str] = []

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body, has_more = b"", True
        while has_more:
            event = await receive()
            body += event.get("body", b"")
            has_more = event.get("more_body", False)
        request = inference.ModelInferRequest.FromString(body[_PREFIX_BYTES:])
        pixels = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(-1, SIDE, SIDE)
        arrays = self._session.run(self._names, {"pixels": pixels})
        answer = inference.ModelInferResponse(model_name=request.model_name, id=request.id)
        for name, array in zip(self._names, arrays, strict=True):
            datatype = "INT64" if array.dtype == np.int64 else "FP32"
            answer.outputs.add(name=name, datatype=datatype, shape=array.shape)
            answer.raw_output_contents.append(array.tobytes())
        message = frame(answer.SerializeToString())
        await send(_START)
        await send({"type": "http.response.body", "body": message, "more_body": False})
        await send(_END)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ[_GRAPH], options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]
        pin("on", 0, 1)
        print(f"port {os.environ[_PORT]}", flush=True)  # noqa: T201
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


app = Floor()


def main() -> None:
    """Become an Envoy with the handler in it, on a free port."""
    parser = Parser("benchmarks.envoy_floor", __doc__.splitlines()[0], ())
    add_arguments(parser, {})
    flags = ["--models", ".", "--host", "127.0.0.1", "--front", "envoy"]
    config = ServerConfig.from_arguments(parser, parser.parse_args(flags))
    port = free_port()
    admin = Path(tempfile.gettempdir()) / f"envoy-floor-{os.getpid()}"
    configuration = bootstrap(config, port, admin, None, application="benchmarks.envoy_floor:app")
    path, environment = find_envoy()
    command = [path, "--config-yaml", json.dumps(configuration), "--concurrency", "1"]
    os.execve(  # noqa: S606 - our own command
        path,
        [*command, "--disable-hot-restart", "--log-level", "error"],
        {**os.environ, **environment, _GRAPH: sys.argv[1], _PORT: str(port)},
    )


if __name__ == "__main__":
    main()
