"""Read JSON that may be hostile, and write JSON that every parser takes.

A key that comes twice, bytes that are not UTF-8, and nesting or numbers without end are refused.
Source: RFC 8259.
"""

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from server.errors import InvalidRequest

_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def read_json(body: bytes) -> Any:
    """The value of a body; raises InvalidRequest."""
    try:
        return _DECODER.decode(body.decode())
    except RecursionError as error:
        raise InvalidRequest("body", "is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest("body", f"is no UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise InvalidRequest("body", f"is no JSON: {error}") from error
    except ValueError as error:  # Python reads no whole number past some thousand digits
        raise InvalidRequest("body", "holds a number of too many digits") from error


def read_object(body: bytes, allowed: Iterable[str]) -> dict[str, Any]:
    """The object of a body, empty where there is no body; raises InvalidRequest."""
    return expect_object(read_json(body) if body.strip() else {}, "body", allowed)


def write_json(value: Any) -> bytes:
    """A value as JSON; floats must be finite."""
    return _ENCODER.encode(value).encode(
        "utf-8", "backslashreplace"
    )  # half a character becomes its escape


def expect_object(value: Any, field: str, allowed: Iterable[str]) -> dict[str, Any]:
    """A value that is an object with no other keys than some; raises InvalidRequest."""
    found: dict[str, Any] = expect(value, dict, field)
    for key in found:
        if key not in allowed:
            prefix = "" if field == "body" else f"{field}."
            raise InvalidRequest(
                f"{prefix}{show(key)}", f"is unknown; expected one of {', '.join(allowed)}"
            )
    return found


def expect(value: Any, kind: type, field: str) -> Any:
    """A value that is of one kind; raises InvalidRequest."""
    if type(value) is not kind:
        raise InvalidRequest(field, f"is {kind_of(value)}; expected {_KINDS[kind]}")
    return value


def expect_text(value: Any, field: str) -> str:
    """A string that can be sent on; raises InvalidRequest."""
    text: str = expect(value, str, field)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(field, "holds half a character (a lone surrogate)") from error
    return text


def kind_of(value: Any) -> str:
    """What JSON calls a value, for a message."""
    return _KINDS[type(value)]


def show(text: str) -> str:
    """The beginning of what a caller wrote, fit for a message."""
    return text[:64].encode("utf-8", "backslashreplace").decode()


def shortest(values: Sequence[float]) -> list[float]:
    """For finite numbers of float32, ones with few digits that are the same float32."""
    short = [float(f"{value:.7g}") for value in values]
    back = array("f", short)
    return [
        one if same == value else float(f"{value:.9g}")  # nine digits tell any two apart
        for one, same, value in zip(short, back, values, strict=True)
    ]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        for key, _ in pairs:
            if found.pop(key, pairs) is pairs:  # it was taken out before
                raise InvalidRequest(show(key), "is given twice")
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
