"""Python values to DynamoDB's attribute values, for the writes of handlers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from eventfabric.errors import HandlerError

_serialize = TypeSerializer().serialize


def to_attributes(values: Mapping[str, object]) -> dict[str, Any]:
    """Each value in DynamoDB's JSON; floats go as the decimal number that they print as."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            found[name] = _serialize(_exact(value))
        except (TypeError, ValueError, ArithmeticError) as error:
            reason = str(error) or type(error).__name__
            raise HandlerError(f"attribute {name!r}: found {value!r:.80}, {reason}") from error
    return found


def _exact(value: object) -> object:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("allowed: names that are text")
        return {name: _exact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner) for inner in value]
    if isinstance(value, set | frozenset):
        if not value:
            raise ValueError("allowed: sets that are not empty")
        return {_exact(inner) for inner in value}
    if isinstance(value, str):
        value.encode()  # what is not UTF-8 is refused here, where the attribute's name is known
    if isinstance(value, bytearray):
        return bytes(value)
    return value
