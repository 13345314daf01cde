"""Holds a running server against what was measured offline, and reports."""

import os

# What gRPC's core would say of a failing server, the report says.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
