"""The words that the trainer, the server and the evaluator share."""

__version__ = "0.1.0"
