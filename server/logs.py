"""Log lines of the server: text for a person, JSON for a collector."""

import json
import logging
import sys
import time
import warnings
from typing import Final, Literal

from gurmukhi.command import one_line

Format = Literal["text", "json"]
FORMATS: Final[tuple[Format, ...]] = ("text", "json")


class _TextFormatter(logging.Formatter):
    """`12:00:00 INFO loaded model=mlp version=1`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        words = [f"{name}={value}" for name, value in fields.items()]
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        # One event, one line, and nothing that a terminal obeys, whatever a message quotes.
        text = one_line(" ".join([clock, record.levelname, record.getMessage(), *words]))
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _JsonFormatter(logging.Formatter):
    """One object a line: time in seconds since 1970, level, logger, message and fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": round(record.created, 6),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def start_logs(style: Format) -> None:
    """Send all log lines to standard error in one style."""
    # Pillow warns of what it finds odd in a picture, in words that a caller chooses: none of them
    # belongs into the log, nor into the table of warnings that were shown, which only grows.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if style == "json" else _TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
