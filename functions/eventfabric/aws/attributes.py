"""Conversion of Python values to DynamoDB's attribute values, for the writes of handlers."""

from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from eventfabric.errors import HandlerError

_serialize = TypeSerializer().serialize
_EXPONENT_MAX = 125


def to_attributes(values: Mapping[str, object]) -> dict[str, Any]:
    """Convert each value to DynamoDB's JSON. Floats go as the decimal number that they print as."""
    serialized: dict[str, Any] = {}
    for name, value in values.items():
        try:
            serialized[_name(name)] = _serialize(_exact(value))
        except (TypeError, ValueError, ArithmeticError) as error:
            reason = str(error) or type(error).__name__
            raise HandlerError(f"attribute {name!r}: found {value!r:.80}, {reason}") from error
    return serialized


def _exact(value: object) -> object:
    """Convert a value to what boto3's serializer and DynamoDB accept. TypeError or ValueError says what they do not."""
    match value:
        case float():
            return _number(Decimal(repr(value)))
        case Decimal():
            return _number(value)
        case dict():
            return {_name(name): _exact(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_exact(inner) for inner in value]
        case set() | frozenset():
            return _set(value)
        case str():
            value.encode()  # what is not UTF-8 is refused here, while the attribute's name is known
            return value
        case bytearray():
            return bytes(value)
        case _:
            return value


def _number(value: Decimal) -> Decimal:
    if value.adjusted() > _EXPONENT_MAX:
        raise ValueError(f"allowed: less than 1E+{_EXPONENT_MAX + 1}")
    return value


def _set(values: Set[object]) -> set[object]:
    if not values or any(isinstance(value, bool) for value in values):
        raise ValueError("allowed: sets of texts, of numbers or of bytes that are not empty")
    return {_exact(value) for value in values}


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError("allowed: names that are text")
    name.encode()
    return name
