"""Serves a model repository over gRPC, with metrics over HTTP."""
