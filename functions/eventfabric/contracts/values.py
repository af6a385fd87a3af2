"""Values of JSON as JSON Schema compares them: 1 and 1.0 are equal, 1 and true are not."""

from collections.abc import Hashable, Iterable
from fractions import Fraction
from typing import Any, Final

NULL, BOOLEAN, INTEGER, FRACTION = "null", "boolean", "integer", "fraction"
STRING, ARRAY, OBJECT = "string", "array", "object"
KINDS: Final = (NULL, BOOLEAN, INTEGER, FRACTION, STRING, ARRAY, OBJECT)
"""Kinds of values, no two of which share a value: an integer is a whole number, a fraction is any other number."""


def kinds_of_type(types: str | Iterable[str] | None) -> frozenset[str]:
    """Return the kinds that a `type` allows; all, if there is none."""
    if types is None:
        return frozenset(KINDS)
    kinds = set[str]()
    for name in (types,) if isinstance(types, str) else types:
        kinds |= {INTEGER, FRACTION} if name == "number" else {name}
    return frozenset(kinds)


def kind_of(value: Any) -> str:
    """Return the kind of a value."""
    match value:
        case None:
            return NULL
        case bool():
            return BOOLEAN
        case int():
            return INTEGER
        case float():
            return INTEGER if value.is_integer() else FRACTION
        case str():
            return STRING
        case list():
            return ARRAY
    return OBJECT


def key_of(value: Any) -> Hashable:
    """Return a key that equal values share, and no others."""
    match value:
        case bool() | None:
            return BOOLEAN, value
        case int() | float():
            return INTEGER, Fraction(value)
        case str():
            return value
        case list():
            return ARRAY, tuple(key_of(item) for item in value)
    return OBJECT, frozenset((name, key_of(member)) for name, member in value.items())


def keys_of(schema: dict[str, Any]) -> dict[Hashable, Any] | None:
    """Return the values that `const` and `enum` of a schema allow, by their keys; None if it has neither."""
    values: dict[Hashable, Any] | None = None
    if "enum" in schema:
        values = {key_of(value): value for value in schema["enum"]}
    if "const" in schema:
        key = key_of(schema["const"])
        values = {key: schema["const"]} if values is None or key in values else {}
    return values
