"""Messages of the gRPC health checking protocol, written by `make protos`."""
