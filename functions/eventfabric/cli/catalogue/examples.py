"""Examples: invented data that fits a schema, always the same for the same schema, and never taken from an event."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from json import dumps
from typing import Any, Final

from eventfabric.cli.catalogue.numbers import number_for
from eventfabric.cli.catalogue.patterns import UnknownPatternError, text_for
from eventfabric.cli.catalogue.references import REF
from eventfabric.contracts.keywords import KEYWORDS, Form, JsonSchema
from eventfabric.contracts.references import References

_CHOICES: Final = 12
"""Numbers of choices that are tried, one after the other, until an example fits."""
_DEPTH_MAX: Final = 12
_OPTIONAL_DEPTHS: Final = (4, 1, 0)
"""Levels down to which members are made that are not required: with all of them, data may be too large."""
_ITEMS_MAX: Final = 1_000
_STEPS_MAX: Final = 2_000
"""Most values and parts of schemas that go into one try: a small schema can describe data without end."""
EXAMPLE_BYTES_MAX: Final = 8 * 1024
"""Most bytes of an example, as JSON without spaces: it is there to be read."""
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


class _TooMuchError(Exception):
    """With these choices, the data are too large to be read, or too much work to be made."""


@dataclass(frozen=True)
class Example:
    """Data of an invented event. Wrapped, since null is an example, too."""

    data: Any


def example_of(schema: JsonSchema, fits: Callable[[Any], bool]) -> Example | None:
    """Return data that fits a schema, preferably with all members; None if none could be made.

    `fits`: tells if some data may be published under the schema.
    """
    references = References(schema)
    for choice, optional_depth in product(range(_CHOICES), _OPTIONAL_DEPTHS):
        try:
            data = _Maker(references, choice, optional_depth=optional_depth).value(schema, "example", 0)
        except (_NoneFitsError, _TooMuchError, UnknownPatternError, OverflowError):
            continue
        if _size_bytes(data) <= EXAMPLE_BYTES_MAX and fits(data):
            return Example(data)
    return None


def _size_bytes(value: Any) -> int:
    return len(dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


class _Maker:
    """Makes values by one row of choices. They mostly fit; a validator says if they do."""

    def __init__(self, references: References, choice: int, *, optional_depth: int) -> None:
        self._references = references
        self._choice, self._optional_depth = choice, optional_depth
        self._steps_left, self._bytes_left = _STEPS_MAX, EXAMPLE_BYTES_MAX
        self._above: list[object] = ["#"]

    def value(self, schema: JsonSchema, name: str, depth: int) -> Any:
        """Return a value. `name`: that of the member that it is for."""
        self._spend(steps=1)
        if schema is False or depth > _DEPTH_MAX:
            raise _NoneFitsError
        if schema is True:
            self._spend(size_bytes=len(name))
            return name
        self._above.append(schema.get(REF, ""))
        try:
            return self._of(self._flat(schema, depth), name, depth)
        finally:
            self._above.pop()

    def _of(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        if "const" in schema or schema.get("enum"):
            values = [schema["const"]] if "const" in schema else schema["enum"]
            value = values[self._choice % len(values)]
            self._spend(size_bytes=_size_bytes(value))
            return value
        match self._type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return self._text(schema, name)
            case "integer" | "number" as kind:
                return number_for(schema, is_whole=kind == "integer")
            case "boolean":
                return self._choice % 2 == 0
            case _:
                return None

    def _spend(self, *, steps: int = 0, size_bytes: int = 0) -> None:
        """Account for work, and for what it adds to the data. Raises _TooMuchError."""
        self._steps_left -= steps
        self._bytes_left -= size_bytes
        if self._steps_left < 0 or self._bytes_left < 0:
            raise _TooMuchError

    def _flat(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Return a schema with everything in it that applies in the same place: references, branches, conditions."""
        flat = {
            keyword: int(value) if KEYWORDS.get(keyword) is Form.COUNT else value  # a count may be 2.0
            for keyword, value in schema.items()
            if keyword not in _IN_PLACE
        }
        self._spend(steps=_steps_of(schema))
        for part in self._parts(schema):
            if part is None or part is False or depth > _DEPTH_MAX:
                raise _NoneFitsError
            if isinstance(part, dict):
                self._spend(steps=_steps_of(flat))
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
        required: dict[str, None] = dict.fromkeys(schema.get("required", ()))
        optional = depth < self._optional_depth
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
        self._spend(size_bytes=sum(map(len, value)))
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
        """Return how many items are made: as few as are allowed; with optional members, an item of each kind."""
        rest, usual = schema.get("items", False), schema.get("minItems", 0)
        if self._optional_depth:
            has_rest = rest is not False and not self._is_inside(rest)
            usual = max(usual, first, 1 if has_rest else 0)
        return int(min(usual, schema.get("maxItems", usual), _ITEMS_MAX))

    def _text(self, schema: Mapping[str, Any], name: str) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        self._spend(size_bytes=least)
        if "pattern" in schema:
            text = text_for(schema["pattern"], self._choice, characters_min=least)
            self._spend(size_bytes=len(text) - least)
            return text
        text = _FORMATS.get(schema.get("format", ""), name)
        if len(text) < least:
            text = (text * (least // max(1, len(text)) + 1))[:least]
        return text if most is None else text[:most]


_IN_PLACE: Final = frozenset({REF, "allOf", "anyOf", "oneOf", "if", "then", "else"})
_LARGEST: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_SMALLEST: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


def _steps_of(schema: Mapping[str, Any]) -> int:
    """Return how much work it is to go through the keywords of a schema."""
    return sum(1 + len(value) // 100 for value in schema.values() if isinstance(value, dict | list))


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
            known = set(map(repr, other))
            both[keyword] = [value for value in own if repr(value) in known]
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
