"""What a service says when it cannot answer; a front turns each into its transport's status.

::

    ServiceError
    ├── InvalidRequest     the request breaks a rule; names the field
    ├── NotFound           no such model or version
    ├── NotReady           the server is draining, or a version could not be loaded
    ├── Overloaded         the queue is full; says when to try again
    ├── MessageTooLarge    the request has more bytes than are taken
    ├── Unauthenticated    the call carries no valid token
    ├── Unsupported        the protocol has it, this server does not
    ├── DeadlinePassed     the caller's deadline passed before the work was begun
    └── CallerGone         the caller cancelled before the work was begun
"""

from typing import Final


class ServiceError(Exception):
    """A request that gets no answer, and why; the message is for the caller."""


class InvalidRequest(ServiceError):  # noqa: N818 - these are outcomes; the tree says they are errors
    """The request breaks a rule; `field` is its path in the message, such as `images[3]`."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


class NotFound(ServiceError):  # noqa: N818
    """No such model or version."""


class NotReady(ServiceError):  # noqa: N818
    """The server is draining, or a version could not be loaded."""


class Overloaded(ServiceError):  # noqa: N818
    """The queue is full; another try is worth its while after `retry_seconds`."""

    # A full queue empties in milliseconds; sooner than this a try finds it full again.
    retry_seconds: Final = 0.05


class MessageTooLarge(ServiceError):  # noqa: N818
    """The request has more bytes than are taken; another try is of no use."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the message has {size} bytes; at most {limit} are taken")


class Unauthenticated(ServiceError):  # noqa: N818
    """The call carries no valid token."""


class Unsupported(ServiceError):  # noqa: N818
    """The protocol has it, this server does not."""


class DeadlinePassed(ServiceError):  # noqa: N818
    """The caller's deadline passed before the work was begun."""


class CallerGone(ServiceError):  # noqa: N818
    """The caller cancelled before the work was begun."""
