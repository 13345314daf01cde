"""Messages and stubs of the Open Inference Protocol v2, written by `make protos`."""
