"""The floor: a bare synchronous grpcio server that sends back what it is sent.

Run as `python -m benchmarks.echo [threads]`; it stays on one CPU, which its caller chooses.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

PATH = "/echo/Echo"


class _Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs alone
    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_unary_rpc_method_handler(_echo)


def _echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    return request


def main(threads: int = 4) -> None:
    """Serve until the process is ended."""
    server = grpc.server(
        ThreadPoolExecutor(threads), options=[("grpc.max_receive_message_length", 1 << 24)]
    )
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"ready: port {port}", flush=True)  # noqa: T201
    threading.Event().wait()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
