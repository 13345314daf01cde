"""The words that the trainer, the server and the evaluator share."""

import os

__version__ = "0.1.0"

# gRPC's core looks when it is imported. By default it writes lines to standard error on each failed
# handshake; the call's own error says the same, once. (The server wants to see its own.)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# onnxruntime's wheels (1.29 and later, on Linux too) tell their maker of each model that they load.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
