"""Messages and stubs of gurmukhi.v1.DigitService, written by `make protos`."""
