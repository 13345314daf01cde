"""Serves a model repository over gRPC, with metrics over HTTP."""

import os

# Errors of gRPC's core are an operator's to see; looked at before any other module sets it.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
