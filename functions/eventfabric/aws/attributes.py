"""Python values to DynamoDB's attribute values, for the writes of handlers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeSerializer

_serialize = TypeSerializer().serialize


def to_attributes(values: Mapping[str, object]) -> dict[str, Any]:
    """Each value in DynamoDB's JSON; floats go as the decimal number that they print as."""
    return {name: _serialize(_exact(value)) for name, value in values.items()}


def _exact(value: object) -> object:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: _exact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner) for inner in value]
    return value
