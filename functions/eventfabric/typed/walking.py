"""Where a JSON Schema holds further schemas: the keywords, and a copy of a schema in which each is replaced."""

from collections.abc import Callable, Iterator, Mapping
from json import dumps
from typing import Any, TypeAlias

from eventfabric.contracts.keywords import KEYWORDS, Form

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema, decoded. Where the standard also allows a bool, `Any` is said."""

_MAPS, _LISTS, _SINGLE = (
    frozenset(keyword for keyword, form in KEYWORDS.items() if form is wanted)
    for wanted in (Form.MEMBERS, Form.SCHEMAS, Form.SCHEMA)
)


def is_same(first: object, second: object) -> bool:
    """Tell if two JSON values are the same. For Python, true equals 1."""
    return dumps(first, sort_keys=True) == dumps(second, sort_keys=True)


def replaced(schema: Mapping[str, Any], replace: Callable[[Schema, str, str], Schema]) -> Schema:
    """Copy a schema, with `replace(schema, keyword, name)` for each schema directly in it. Bools stay as they are.

    `name`: of the property or definition, the index in a list, or empty.
    """

    def inner(value: Any, keyword: str, name: str = "") -> Any:
        return replace(value, keyword, name) if isinstance(value, dict) else value

    copy: Schema = {}
    for keyword, value in schema.items():
        if keyword in _MAPS and isinstance(value, dict):
            copy[keyword] = {name: inner(part, keyword, name) for name, part in value.items()}
        elif keyword in _LISTS and isinstance(value, list):
            copy[keyword] = [inner(part, keyword, str(index)) for index, part in enumerate(value)]
        else:
            copy[keyword] = inner(value, keyword) if keyword in _SINGLE else value
    return copy


def without_booleans(schema: Mapping[str, Any]) -> Schema:
    """Return a schema with {} for each `true` in it, and with `{"not": {}}` for each `false`.

    Those of `items`, `additionalProperties` and the like stay, where they say what may follow the parts with a name.
    """

    def inner(value: Any) -> Any:
        if isinstance(value, bool):
            return {} if value else {"not": {}}
        return without_booleans(value) if isinstance(value, dict) else value

    copy: Schema = {}
    for keyword, value in schema.items():
        if keyword in _MAPS and isinstance(value, dict):
            copy[keyword] = {name: inner(part) for name, part in value.items()}
        elif keyword in _LISTS and isinstance(value, list):
            copy[keyword] = [inner(part) for part in value]
        elif keyword in _SINGLE:
            copy[keyword] = value if isinstance(value, bool) else inner(value)
        else:
            copy[keyword] = value
    return copy


def schemas_in(schema: Mapping[str, Any]) -> Iterator[Schema]:
    """Yield a schema, and all schemas in it, those of $defs included."""
    waiting: list[Schema] = [dict(schema)]
    while waiting:
        current = waiting.pop()
        yield current

        def collect(part: Schema, *_: str) -> Schema:
            waiting.append(part)
            return part

        replaced(current, collect)


def references_in(schema: Mapping[str, Any]) -> set[str]:
    """Return all `$ref` in a schema."""
    return {part["$ref"] for part in schemas_in(schema) if isinstance(part.get("$ref"), str)}
