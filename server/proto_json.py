"""Protobuf messages as JSON, by proto3's mapping; strict in what it reads.

protobuf's own json_format takes bytes that are no base64, and an array for an object, and needs
several times as long. Requests here hold strings, bytes, whole numbers, booleans and messages;
answers also floats, enums and maps. Source: protobuf.dev/programming-guides/json.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from server.errors import InvalidRequest
from server.json_body import expect, expect_text, kind_of, shortest, show

_URL_SAFE: Final = str.maketrans("-_", "+/")
_LIMITS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_LONG: Final = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


class _Field(NamedTuple):
    name: str
    json_name: str
    oneof: str | None
    may_be_absent: bool
    is_repeated: bool
    is_message: bool
    read: Callable[[Any, str], Any] | None  # None where a request never has such a field
    write: Callable[[Any], Any]  # the whole of it, also where it is repeated
    write_plainly: Callable[[Any], Any]


def read_message(value: Any, message: Any, path: str = "") -> Any:
    """Fill a message with an object's fields; raises InvalidRequest, which names the field.

    A field's name is the mapping's or the proto's own; null stands for a field that is not there.
    """
    fields = _readable(message.DESCRIPTOR)
    prefix = f"{path}." if path else ""
    seen: set[str] = set()
    for key, item in expect(value, dict, path or "body").items():
        field = fields.get(key)
        where = f"{prefix}{show(key)}"
        if field is None:
            names = ", ".join(one.json_name for one in _plan(message.DESCRIPTOR))
            expected = f"expected one of {names}" if names else "none is expected"
            raise InvalidRequest(where, f"is unknown; {expected}")
        if item is None:
            continue
        place = field.oneof or field.name
        if place in seen:
            raise InvalidRequest(where, f"is given beside another {place}; expected one of them")
        seen.add(place)
        _read_field(item, message, field, where)
    return message


def write_message(message: Any) -> dict[str, Any]:
    """A message by the mapping, with the fields that have their defaults; oneofs where set."""
    return _write(message, plainly=False)


def write_plainly(message: Any) -> dict[str, Any]:
    """A message as Triton writes it: names as in the proto, and 64-bit numbers as numbers."""
    return _write(message, plainly=True)


def read_base64(text: str, field: str) -> bytes:
    """Bytes from base64, either alphabet, padded or not; raises InvalidRequest."""
    try:
        plain = text.translate(_URL_SAFE).encode("ascii")
        if not plain.endswith(b"="):
            plain += b"=" * (-len(plain) % 4)
        elif len(plain) % 4:
            raise InvalidRequest(field, "is no base64: its padding is wrong")
        return binascii.a2b_base64(plain, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidRequest(field, "is no base64") from error


def _read_field(item: Any, message: Any, field: _Field, where: str) -> None:
    if field.is_repeated:
        values = getattr(message, field.name)
        for index, one in enumerate(expect(item, list, where)):
            if field.is_message:
                read_message(one, values.add(), f"{where}[{index}]")
            elif field.read:
                values.append(field.read(one, f"{where}[{index}]"))
    elif field.is_message:
        part = getattr(message, field.name)
        part.SetInParent()
        read_message(item, part, where)
    elif field.read:
        setattr(message, field.name, field.read(item, where))


def _write(message: Any, *, plainly: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in _plan(message.DESCRIPTOR):
        if field.may_be_absent and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if plainly:
            found[field.name] = field.write_plainly(value)
        else:
            found[field.json_name] = field.write(value)
    return found


@cache  # one for each kind of message
def _plan(descriptor: Descriptor) -> tuple[_Field, ...]:
    return tuple(_describe(field) for field in descriptor.fields)


@cache
def _readable(descriptor: Descriptor) -> Mapping[str, _Field]:
    plan = _plan(descriptor)
    return {name: field for field in plan for name in (field.name, field.json_name)}


def _describe(field: FieldDescriptor) -> _Field:
    is_single = not field.is_repeated
    return _Field(
        name=field.name,
        json_name=field.json_name,
        oneof=field.containing_oneof.name if field.containing_oneof else None,
        may_be_absent=is_single and field.has_presence,
        is_repeated=field.is_repeated,
        is_message=field.message_type is not None,
        read=_reader(field),
        write=_whole_writer(field, plainly=False),
        write_plainly=_whole_writer(field, plainly=True),
    )


def _reader(field: FieldDescriptor) -> Callable[[Any, str], Any] | None:
    if field.type == FieldDescriptor.TYPE_STRING:
        return expect_text
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value, where: read_base64(expect(value, str, where), where)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _read_boolean
    if limits := _LIMITS.get(field.cpp_type):
        return lambda value, where: _read_integer(value, where, *limits)
    return None


def _read_boolean(value: Any, where: str) -> bool:
    if value in ("true", "false"):  # as a query has them
        return bool(value == "true")
    if type(value) is not bool:
        raise InvalidRequest(where, f"is {kind_of(value)}; expected true or false")
    return value


def _read_integer(value: Any, where: str, low: int, high: int) -> int:
    number = value
    if type(value) is str and value.isascii() and len(value) <= 20 and value.lstrip("-").isdigit():
        number = int(value) if value.count("-") <= 1 else None
    elif type(value) is float and value.is_integer():
        number = int(value)
    if type(number) is not int:
        what = repr(value)[:24] if type(value) is float else kind_of(value)
        raise InvalidRequest(where, f"is {what}; expected a whole number")
    if not low <= number <= high:
        raise InvalidRequest(where, f"is out of range; expected {low} to {high}")
    return number


def _whole_writer(field: FieldDescriptor, *, plainly: bool) -> Callable[[Any], Any]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        write_value = _writer(kind.fields_by_name["value"], plainly=plainly)
        return lambda found: {key: write_value(found[key]) for key in sorted(found)}
    if not field.is_repeated:
        return _writer(field, plainly=plainly)
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return _floats
    write = _writer(field, plainly=plainly)
    return lambda values: [write(value) for value in values]


def _writer(field: FieldDescriptor, *, plainly: bool) -> Callable[[Any], Any]:
    if field.message_type:
        return write_plainly if plainly else write_message
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return lambda value: _floats([value])[0]
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return lambda value: value if math.isfinite(value) else _name(value)
    if field.enum_type:
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda value: names.get(value, value)
    if field.cpp_type in _LONG and not plainly:
        return str
    return lambda value: value


def _floats(values: Sequence[float]) -> list[Any]:
    if all(map(math.isfinite, values)):
        return list[Any](shortest(values))
    return [shortest([value])[0] if math.isfinite(value) else _name(value) for value in values]


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
