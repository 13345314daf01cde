"""The errors that a user of the project can meet.

::

    GurmukhiError             anything below; a command ends with its `exit_code`
    ├── DataError             a data set is missing, damaged, or not what it is said to be
    ├── ImageError            one picture cannot be read as a digit
    │   ├── UndecodableImageError
    │   ├── TruncatedImageError
    │   ├── ImageTooLargeError
    │   └── BlankImageError
    ├── TensorError           a tensor's datatype, shape and contents disagree
    ├── BundleError           a model bundle is unfinished, damaged, or proven wrong
    ├── ParityError           an exported graph answers otherwise than the model it came from
    └── CallError             a remote call failed; carries the gRPC status code
"""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import grpc

EXIT_BAD_DATA = 4
EXIT_UNREACHABLE = 3


class GurmukhiError(Exception):
    """A fault that a user can understand and mend; its message is one line."""

    exit_code: ClassVar[int] = EXIT_BAD_DATA


class DataError(GurmukhiError):
    """A data set is missing, damaged, or not what it is said to be."""


class ImageError(GurmukhiError):
    """A picture cannot be read as a digit."""


class UndecodableImageError(ImageError):
    """The bytes are no picture of a kind that is read here."""


class TruncatedImageError(ImageError):
    """The picture ends before its pixels do."""


class ImageTooLargeError(ImageError):
    """The picture has more pixels than are decoded here."""


class BlankImageError(ImageError):
    """The picture holds no ink."""


class TensorError(GurmukhiError):
    """A tensor's datatype, shape and contents disagree."""


class BundleError(GurmukhiError):
    """A model bundle is unfinished, damaged, or answers otherwise than it promises."""


class ParityError(GurmukhiError):
    """An exported graph answers otherwise than the model it was made from."""


class CallError(GurmukhiError):
    """A remote call failed.

    `code` is the gRPC status code and `details` what the server said.
    """

    exit_code: ClassVar[int] = EXIT_UNREACHABLE

    def __init__(self, target: str, code: "grpc.StatusCode", details: str) -> None:
        super().__init__(f"{target}: {code.name}: {details}")
        self.code = code
        self.details = details
