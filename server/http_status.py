"""Turn a service's errors into HTTP statuses, and the codes that the Connect protocol has.

Source: connectrpc.com/docs/protocol, "Error codes".
"""

import math
from typing import Final, NamedTuple

from server.errors import (
    CallerGone,
    DeadlinePassed,
    InvalidRequest,
    MessageTooLarge,
    NotFound,
    NotReady,
    Overloaded,
    ServiceError,
    Unauthenticated,
    Unsupported,
)

METHOD_NOT_ALLOWED: Final = 405
TOO_LARGE: Final = 413  # but for Connect, which has one status for each code
UNSUPPORTED_MEDIA_TYPE: Final = 415


class Outcome(NamedTuple):
    """How an error is said."""

    status: int
    code: str  # of Connect


INTERNAL: Final = Outcome(500, "internal")
_OUTCOMES: Final[dict[type[ServiceError], Outcome]] = {
    InvalidRequest: Outcome(400, "invalid_argument"),
    NotFound: Outcome(404, "not_found"),
    NotReady: Outcome(503, "unavailable"),
    Overloaded: Outcome(429, "resource_exhausted"),
    MessageTooLarge: Outcome(429, "resource_exhausted"),
    Unauthenticated: Outcome(401, "unauthenticated"),
    Unsupported: Outcome(501, "unimplemented"),
    DeadlinePassed: Outcome(504, "deadline_exceeded"),
    CallerGone: Outcome(499, "canceled"),
}


def outcome_of(error: ServiceError | None) -> Outcome:
    """How an error is said; None is a fault of ours."""
    if error is None:
        return INTERNAL
    outcome = _OUTCOMES[type(error)]
    if isinstance(error, InvalidRequest) and error.field == "content-type":
        return outcome._replace(status=UNSUPPORTED_MEDIA_TYPE)
    return outcome


def headers_of(error: ServiceError | None) -> tuple[tuple[str, str], ...]:
    """What an error adds to the headers of its response."""
    if isinstance(error, Overloaded):  # whole seconds are all that the header has
        return (("retry-after", str(math.ceil(error.retry_seconds))),)
    if isinstance(error, Unauthenticated):
        return (("www-authenticate", "Bearer"),)
    return ()
