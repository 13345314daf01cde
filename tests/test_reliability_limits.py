"""A server that runs out of what it needs goes on with what it has."""

import resource
from pathlib import Path

import grpc
import pytest
from conftest import serving

from gurmukhi.client import DigitClient
from gurmukhi.health import health_pb2, health_pb2_grpc
from gurmukhi.synthetic import synthetic_digits

pytestmark = pytest.mark.usefixtures("front")

IMAGES, _ = synthetic_digits(1, 97)
LESS_THAN_A_STACK = 4 << 20


def test_a_server_that_can_begin_no_thread_answers_on(models: Path) -> None:
    """As at a container's limit of processes; a thread that failed to begin ended all serving."""
    with serving(models) as running:
        pages = int(Path(f"/proc/{running.process.pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + LESS_THAN_A_STACK
        resource.prlimit(running.process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        with (
            DigitClient(running.target, timeout_seconds=20, retries=False) as client,
            grpc.insecure_channel(running.target) as channel,
        ):
            assert client.classify(IMAGES[0]).digit in range(10)
            assert client.list_models()
            health = health_pb2_grpc.HealthStub(channel)
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(running.process.pid, resource.RLIMIT_AS, unlimited)
