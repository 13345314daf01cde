"""Where the microseconds of a request go in our own code: `python -m benchmarks.parts`.

Each part is called again and again in one thread without a network; the least CPU time of many
rounds counts, since all else is noise. What grpcio takes around them is the echo's cost; around the
last one it is Envoy, pyvoy and the threads that wake each other.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from benchmarks.processes import BenchmarkError
from benchmarks.setting import MODEL, setting_of
from gurmukhi.command import Parser, run, whole_number
from gurmukhi.inference import open_inference_grpc_pb2 as inference
from gurmukhi.synthetic import synthetic_digits
from gurmukhi.terminal import format_table
from gurmukhi.v1 import digits_pb2 as digits
from server.config import ServerConfig
from server.digit_service import DigitService
from server.envoy_calls import Event
from server.envoy_front import EnvoyFront, EnvoyFrontConfig
from server.flags import add_arguments
from server.grpc_wire import frame
from server.inference_input import pixels_of, put_pixels, read_images
from server.inference_output import RawWriter, respond, wanted_outputs
from server.metrics import ServerMetrics
from server.model import load_model
from server.policy import Candidate
from server.predictor import Predictor
from server.prepared_requests import PreparedRequests
from server.process import ServingProcess
from server.repository import Catalogue, Repository
from server.worker import RemoteControl

_CALLS: Final = 200  # in a round: long enough for the clock, short enough to be undisturbed


class _Call:
    """A caller who waits for ever."""

    deadline: float | None = None
    queued_seconds: float | None = 0.0

    def is_cancelled(self) -> bool:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser("benchmarks.parts", __doc__.splitlines()[0], ("python -m benchmarks.parts",))
    parser.add_argument("--models", type=Path, help="a model repository")
    parser.add_argument("--rounds", type=whole_number(1, 10_000), default=100)
    return run(parser, _command, argv)


def _command(arguments: argparse.Namespace) -> int:
    graph = setting_of(arguments.models, 1).graph
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    parts = _parts(graph.parent)
    rows = [(name, f"{_microseconds(part, arguments.rounds):.1f}") for name, part in parts.items()]
    print(format_table(("part", "µs"), rows))  # noqa: T201
    return 0


def _parts(bundle: Path) -> dict[str, Callable[[], Any]]:
    """Each part of answering one image, by name, in its order."""
    model, call, image = load_model(bundle), _Call(), synthetic_digits(1, 17)[0]
    metrics = ServerMetrics(CollectorRegistry())
    predictor = Predictor(metrics)
    service = DigitService(
        Repository(Catalogue([model])), predictor, max_batch_size=1000, low_confidence=0.5
    )
    method = metrics.method("unary", "benchmark", "Part", is_watch=False)
    request = inference.ModelInferRequest(model_name=MODEL[0], model_version=MODEL[1])
    request.inputs.add(name="pixels", datatype="UINT8", shape=image.shape)
    request.raw_input_contents.append(image.tobytes())
    body = request.SerializeToString()
    prediction, wanted = model.predict(image), wanted_outputs(request, model)
    response = respond(request, model, prediction, wanted, ())
    picture = digits.ClassifyRequest(
        image=digits.Image(pixels=image.tobytes()), model=MODEL[0], version=MODEL[1]
    )

    def count() -> None:
        method.arrive()
        method.count("OK", 1e-4)

    def attempt() -> None:
        with predictor.attempt(model, call):
            pass

    reader = PreparedRequests(
        inference.ModelInferRequest, partial(pixels_of, max_images=1000), put_pixels, keep=id
    )
    reader.parse(body)  # the first is read in the ordinary way
    writer = RawWriter(model, wanted, prediction)

    return {
        "read a prepared request": lambda: reader.parse(body),
        "write the answer to it": lambda: writer.write(prediction),
        "parse another (protobuf)": lambda: inference.ModelInferRequest.FromString(body),
        "read pixels and wanted outputs": lambda: (
            wanted_outputs(request, model),
            read_images(request, call, 1000),
        ),
        "graph (onnxruntime)": lambda: model.predict(image),
        "metrics of the run": lambda: metrics.model(model).observe(prediction, 1e-5),
        "metrics of the attempt": attempt,
        "metrics of the call": count,
        "respond": lambda: respond(request, model, prediction, wanted, ()),
        "serialize (protobuf)": response.SerializeToString,
        "Classify, all of it": lambda: service.classify(picture, call),
        "ModelInfer by Envoy's events, all of it": _by_events(bundle, body),
    }


def _by_events(bundle: Path, body: bytes) -> Callable[[], object]:
    """A call of the Envoy front as pyvoy makes it, with nobody at its other end."""
    parser = Parser("benchmarks.parts", "", ())
    add_arguments(parser, {})
    flags = ["--models", str(bundle.parent.parent), "--front", "envoy", "-q"]
    config = ServerConfig.from_arguments(parser, parser.parse_args(flags))
    front = EnvoyFrontConfig(config.max_message_bytes, config.compression)
    process = ServingProcess(
        config,
        CollectorRegistry(),
        RemoteControl(Pipe()[0]),  # nobody loads or unloads here
        lambda parts: EnvoyFront(front, parts, lambda: None, lambda: None),
    )
    wanted = {MODEL: Candidate.of(bundle)}
    process.replica.commit(wanted, process.replica.prepare(wanted))
    process.start()
    loop = asyncio.new_event_loop()
    scope: Event = {
        "type": "http",
        "method": "POST",
        "raw_path": b"/inference.GRPCInferenceService/ModelInfer",
        "query_string": b"",
        "client": ("127.0.0.1", 5),
        "headers": [(b"content-type", b"application/grpc"), (b"te", b"trailers")],
    }

    async def receive() -> Event:
        return {"type": "http.request", "body": frame(body), "more_body": False}

    async def send(event: Event) -> None:
        sent.append(event)

    def call() -> None:
        sent.clear()
        loop.run_until_complete(process.front(scope, receive, send))

    sent: list[Event] = []
    call()
    if sent[-1]["headers"] != [(b"grpc-status", b"0")]:
        raise BenchmarkError(f"the call ended with {sent[-1]['headers']}")
    return call


def _microseconds(part: Callable[[], Any], rounds: int) -> float:
    least = float("inf")
    for _ in range(rounds):
        started = time.thread_time_ns()
        for _ in range(_CALLS):
            part()
        least = min(least, time.thread_time_ns() - started)
    return least / _CALLS / 1e3


if __name__ == "__main__":
    sys.exit(main())
