"""A call of the evaluator has one deadline, however often it is tried."""

from typing import Any

import grpc
import pytest
from wrong_servers import RightServer, serving

from evaluator.target import Target
from gurmukhi.errors import CallError
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(1, 3)


class Failing(RightServer):
    """Refuses each call, and notes how long its caller would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.remaining: list[float] = []

    def before(self, method: str, context: Any) -> None:
        self.remaining.append(context.time_remaining())
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")


def test_attempts_share_the_deadline_of_their_call() -> None:
    server = Failing()
    with serving(server) as address:
        # gRPC sends a deadline of over ten seconds in whole ones.
        target = Target(address, 5.0)
        for ask in (
            lambda: target.classify(IMAGES[0], "mean", "1"),
            lambda: target.infer("mean", "1", IMAGES),
        ):
            server.remaining.clear()
            with pytest.raises(CallError):
                ask()
            assert len(server.remaining) > 2
            # Pauses of 50 ms and more lie between them.
            assert server.remaining[0] - server.remaining[-1] > 0.1
        target.close()
