"""One log line for every n-th call, with the caller's trace."""

import itertools
import logging
import re
from typing import Any, Final

# W3C Trace Context, section 3.2: version, trace id, parent id, flags. Anything else a client sends
# as a trace stays out of the log.
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_log = logging.getLogger("server.access")


class AccessLog:
    """Logs every `every`-th call; no pixels, no text of the client's."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._calls = itertools.count(1)

    def record(self, path: str, code: str, seconds: float, context: Any) -> None:
        """Log a call's end; `context` is None where it never reached a handler."""
        if next(self._calls) % self._every:
            return
        fields = {"method": path, "code": code, "milliseconds": round(seconds * 1e3, 3)}
        if context is not None:
            fields["peer"] = context.peer()
            trace = next(
                (str(v) for k, v in context.invocation_metadata() if k == "traceparent"), ""
            )
            if _TRACEPARENT.fullmatch(trace):
                fields["traceparent"] = trace
        _log.info("call", extra={"fields": fields})
