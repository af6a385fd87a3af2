"""Examples: invented data that fits a schema, always the same for the same schema, and never taken from an event."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Final

from eventfabric.cli.catalogue.patterns import UnknownPatternError, text_for
from eventfabric.cli.catalogue.references import REF
from eventfabric.contracts.keywords import JsonSchema
from eventfabric.contracts.references import References

_TRIES: Final = 24
"""Numbers of choices that are tried, one after the other, until an example fits."""
_DEPTH_MAX: Final = 12
_OPTIONAL_DEPTH_MAX: Final = 4
_ITEMS_MAX: Final = 1_000
_FORMATS: Final[Mapping[str, str]] = {
    "date": "2030-01-31",
    "date-time": "2030-01-31T12:00:00Z",
    "duration": "P1D",
    "email": "name@example.com",
    "hostname": "www.example.com",
    "idn-email": "name@example.com",
    "idn-hostname": "www.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "iri": "https://example.com/",
    "iri-reference": "/example",
    "json-pointer": "/example",
    "regex": "^example$",
    "relative-json-pointer": "0/example",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uri-reference": "/example",
    "uri-template": "/{example}",
    "uuid": "01234567-89ab-7def-8123-456789abcdef",
}
_KINDS: Final[Sequence[tuple[str, frozenset[str]]]] = (
    ("object", frozenset({"properties", "required", "additionalProperties", "patternProperties"})),
    ("array", frozenset({"items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"})),
    ("string", frozenset({"pattern", "format", "minLength", "maxLength"})),
    ("number", frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})),
)
"""Keywords that say what a value may be where nothing says of which type it is."""


class _NoneFitsError(Exception):
    """With these choices, nothing fits the schema."""


@dataclass(frozen=True)
class Example:
    """Data of an invented event. Wrapped, since null is an example, too."""

    data: Any


def example_of(schema: JsonSchema, fits: Callable[[Any], bool]) -> Example | None:
    """Return data that fits a schema, preferably with all members; None if none could be made.

    `fits`: tells if some data may be published under the schema.
    """
    for number in range(_TRIES):
        try:
            data = _Maker(schema, number // 2, everything=number % 2 == 0).value(schema, "example", 0)
        except (_NoneFitsError, UnknownPatternError, RecursionError):
            continue
        if fits(data):
            return Example(data)
    return None


class _Maker:
    """Makes values by one row of choices. They mostly fit; a validator says if they do."""

    def __init__(self, root: JsonSchema, choice: int, *, everything: bool) -> None:
        self._references = References(root)
        self._choice, self._everything = choice, everything
        self._above: list[object] = ["#"]

    def value(self, schema: JsonSchema, name: str, depth: int) -> Any:
        """Return a value. `name`: that of the member that it is for."""
        if schema is False or depth > _DEPTH_MAX:
            raise _NoneFitsError
        if schema is True:
            return name
        self._above.append(schema.get(REF, ""))
        try:
            return self._of(self._flat(schema, depth), name, depth)
        finally:
            self._above.pop()

    def _of(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][self._choice % len(schema["enum"])]
        match self._type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return self._text(schema, name)
            case "integer" | "number" as kind:
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return self._choice % 2 == 0
            case _:
                return None

    def _flat(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Return a schema with everything in it that applies in the same place: references, branches, conditions."""
        flat = {keyword: value for keyword, value in schema.items() if keyword not in _IN_PLACE}
        for part in self._parts(schema):
            if part is None or part is False or depth > _DEPTH_MAX:
                raise _NoneFitsError
            if isinstance(part, dict):
                flat = _both(flat, self._flat(part, depth + 1))
        return flat

    def _parts(self, schema: Mapping[str, Any]) -> Iterator[JsonSchema | None]:
        """Yield the schemas that apply in the same place by these choices; None for a reference to nothing."""
        yield from schema.get("allOf", ())
        if REF in schema:
            yield self._references.target(dict(schema))
        for keyword in ("oneOf", "anyOf"):
            if branches := schema.get(keyword):
                yield branches[self._choice % len(branches)]
        if "if" in schema and self._choice % 2 == 0:
            yield schema["if"]
            yield schema.get("then", True)
        elif "if" in schema:
            yield schema.get("else", True)

    def _type(self, schema: Mapping[str, Any]) -> str:
        given = schema.get("type")
        if isinstance(given, str):
            return given
        if given:
            # Anything before null, which says least.
            kinds = sorted(given, key=lambda kind: kind == "null")
            return str(kinds[self._choice % len(kinds)])
        return next((kind for kind, keywords in _KINDS if not keywords.isdisjoint(schema)), "string")

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, JsonSchema] = schema.get("properties", {})
        required: list[str] = list(schema.get("required", ()))
        optional = self._everything and depth < _OPTIONAL_DEPTH_MAX
        value: dict[str, Any] = {}
        for name, own in properties.items():
            if name in required:
                value[name] = self.value(own, name, depth + 1)
            elif optional and not self._is_inside(own):
                with suppress(_NoneFitsError):
                    value[name] = self.value(own, name, depth + 1)
        for name in required:
            if name not in value:
                value[name] = self.value(schema.get("additionalProperties", True), name, depth + 1)
        most, least = schema.get("maxProperties", len(value)), schema.get("minProperties", 0)
        for name in [name for name in value if name not in required][max(0, most - len(required)) :]:
            del value[name]
        for number in range(len(value), min(least, _ITEMS_MAX)):
            value[f"name{number}"] = self.value(schema.get("additionalProperties", True), "value", depth + 1)
        return value

    def _is_inside(self, schema: JsonSchema) -> bool:
        """Tell if a value is made for the very part of the schema to which this refers, which would never end."""
        return isinstance(schema, dict) and schema.get(REF) in self._above

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        first: Sequence[JsonSchema] = schema.get("prefixItems", ())
        rest: JsonSchema = schema.get("contains", schema.get("items", True))
        item = name.removesuffix("s") or name
        values: list[Any] = []
        for index in range(self._count(schema, len(first))):
            try:
                value = self.value(first[index] if index < len(first) else rest, item, depth + 1)
            except _NoneFitsError:
                if index < schema.get("minItems", 0):
                    raise
                break
            values.append(_another(value, index) if schema.get("uniqueItems") and value in values else value)
        return values

    def _count(self, schema: Mapping[str, Any], first: int) -> int:
        """Return how many items are made: as few as are allowed; with everything, an item of each kind."""
        rest, usual = schema.get("items", False), schema.get("minItems", 0)
        if self._everything:
            has_rest = rest is not False and not self._is_inside(rest)
            usual = max(usual, first, 1 if has_rest else 0)
        return int(min(usual, schema.get("maxItems", usual), _ITEMS_MAX))

    def _text(self, schema: Mapping[str, Any], name: str) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if "pattern" in schema:
            return text_for(schema["pattern"], self._choice, characters_min=least)
        text = _FORMATS.get(schema.get("format", ""), name)
        if len(text) < least:
            text = (text * (least // max(1, len(text)) + 1))[:least]
        return text if most is None else text[:most]


_IN_PLACE: Final = frozenset({REF, "allOf", "anyOf", "oneOf", "if", "then", "else"})
_LARGEST: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_SMALLEST: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return one schema for what two allow, as far as that is plain."""
    both = {**first, **second}
    for keyword in first.keys() & second.keys():
        own, other = first[keyword], second[keyword]
        if keyword in _LARGEST:
            both[keyword] = max(own, other)
        elif keyword in _SMALLEST:
            both[keyword] = min(own, other)
        elif keyword == "required":
            both[keyword] = list(dict.fromkeys([*own, *other]))
        elif keyword == "enum":
            both[keyword] = [value for value in own if value in other]
        elif keyword == "properties":
            shared = {name: {"allOf": [own[name], other[name]]} for name in own.keys() & other.keys()}
            both[keyword] = {**own, **other, **shared}
        elif keyword == "type":
            both[keyword] = _both_types(own, other)
    return both


def _both_types(own: str | list[str], other: str | list[str]) -> list[str]:
    mine, others = ({kinds} if isinstance(kinds, str) else set(kinds) for kinds in (own, other))
    shared = mine & others
    if {"integer", "number"} <= mine | others:
        shared |= {"integer"}
    if not shared:
        raise _NoneFitsError
    return sorted(shared)


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """Return a number: 1 if that is allowed, else the one nearest to the lower bound, or to the upper."""
    unit = schema.get("multipleOf", 1 if whole else 0.5)
    least, most = _least(schema, unit), _most(schema, unit)
    usual = unit if 1 % unit else 1
    if least is not None and usual < least:
        number = least
    elif most is not None and usual > most:
        number = most
    else:
        number = usual
    return int(number) if number == int(number) else number


def _least(schema: Mapping[str, Any], unit: float) -> float | None:
    """Return the smallest number that lower bounds allow, of those that the unit divides."""
    bounds = [ceil(schema["minimum"] / unit) * unit] if "minimum" in schema else []
    if "exclusiveMinimum" in schema:
        bounds.append((floor(schema["exclusiveMinimum"] / unit) + 1) * unit)
    return max(bounds, default=None)


def _most(schema: Mapping[str, Any], unit: float) -> float | None:
    """Return the largest number that upper bounds allow, of those that the unit divides."""
    bounds = [floor(schema["maximum"] / unit) * unit] if "maximum" in schema else []
    if "exclusiveMaximum" in schema:
        bounds.append((ceil(schema["exclusiveMaximum"] / unit) - 1) * unit)
    return min(bounds, default=None)


def _another(value: Any, index: int) -> Any:
    """Return a value beside an equal one, of a list in which no two are equal."""
    match value:
        case bool() | None:
            return not value
        case int() | float():
            return value + index
        case str():
            return f"{value}{index}"
        case dict():
            return {
                name: _another(own, index) if not isinstance(own, dict) else own
                for name, own in value.items()
            }
        case _:
            return value
