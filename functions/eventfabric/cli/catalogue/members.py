"""Members: a schema as a table for people, a row for each value that an event's data may have in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from json import dumps
from typing import Any, Final

from eventfabric.cli.catalogue.references import REF
from eventfabric.contracts.keywords import KEYWORDS, Form, JsonSchema
from eventfabric.contracts.references import References

ROWS_MAX: Final = 1_000
_DEPTH_MAX: Final = 30
_WHOLE: Final = "#"
_VALUE_CHARACTERS_MAX: Final = 200
_VALUES_MAX: Final = 200
_CELL_CHARACTERS_MAX: Final = 2_000
"""Most characters of a cell: a part of a schema may be referred to from a thousand places."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One value in an event's data."""

    path: str
    """Its place: `lines[].price` is the price in each of the lines; empty: the data as a whole."""
    type: str
    is_required: bool | None = None
    """It is there wherever what holds it is; None: it is no member by itself, such as an item of a list."""
    description: str = ""
    bounds: tuple[str, ...] = ()
    is_deprecated: bool = False


def members_of(schema: JsonSchema) -> list[Member]:
    """Return the rows of a schema, each before those inside it; at most ROWS_MAX."""
    return list(islice(_rows(References(schema), schema, _Place("", None), (_WHOLE,)), ROWS_MAX))


@dataclass(frozen=True)
class _Place:
    path: str
    is_required: bool | None

    def member(self, name: str, required: bool | None) -> "_Place":
        return _Place(f"{self.path}.{name}" if self.path else name, required)

    def inside(self, suffix: str) -> "_Place":
        return _Place(f"{self.path}{suffix}", None)


def _rows(
    references: References, schema: JsonSchema, place: _Place, above: tuple[str, ...]
) -> Iterator[Member]:
    """Yield the row of a schema and of all in it. `above`: references through which it was come to."""
    if isinstance(schema, bool):
        yield Member(path=place.path, type="any" if schema else "none", is_required=place.is_required)
        return
    if REF in schema:
        yield from _referred(references, schema, place, above)
        return
    if place.path or not schema.get("properties"):
        yield _member(schema, place)
    if place.path.count(".") + place.path.count("[") <= _DEPTH_MAX:
        for inner, own in _inner(schema, place):
            yield from _rows(references, own, inner, above)


def _referred(
    references: References, schema: dict[str, Any], place: _Place, above: tuple[str, ...]
) -> Iterator[Member]:
    """Yield the rows of what a schema refers to, unless it stands in that itself."""
    reference, target = schema[REF], references.target(schema)
    if target is None:
        yield _member(schema, place, kind=str(reference))
    elif reference in above or len(above) > _DEPTH_MAX:
        name = "the whole" if reference == _WHOLE else reference.rpartition("/")[2]
        yield _member(schema, place, kind=f"{name}, as above")
    else:
        beside = {keyword: value for keyword, value in schema.items() if keyword != REF}
        whole: JsonSchema = {**target, **beside} if isinstance(target, dict) else target
        yield from _rows(references, whole, place, (*above, reference))


def _inner(schema: Mapping[str, Any], place: _Place) -> Iterator[tuple[_Place, JsonSchema]]:
    """Yield everything that a schema says of the values in its own, and where that is."""
    required = schema.get("required", ())
    for name, own in schema.get("properties", {}).items():
        yield place.member(name, name in required), own
    for pattern, own in schema.get("patternProperties", {}).items():
        yield place.member(f"/{pattern}/", None), own
    if isinstance(schema.get("additionalProperties"), dict):
        yield place.member("*", None), schema["additionalProperties"]
    for index, own in enumerate(schema.get("prefixItems", ())):
        yield place.inside(f"[{index}]"), own
    if isinstance(schema.get("items"), dict):
        yield place.inside("[]"), schema["items"]
    for keyword in ("oneOf", "anyOf"):
        for number, own in enumerate(schema.get(keyword, ()), 1):
            yield place.inside(f" (or {number})"), own
    for own in schema.get("allOf", ()):
        yield place.inside(" (and)"), own
    for keyword in ("then", "else"):
        if keyword in schema:
            yield place.inside(f" ({keyword})"), schema[keyword]


def _member(schema: Mapping[str, Any], place: _Place, *, kind: str | None = None) -> Member:
    description = schema.get("description") or schema.get("title") or ""
    return Member(
        path=place.path,
        type=_type(schema) if kind is None else kind,
        is_required=place.is_required,
        description=_cut(description) if isinstance(description, str) else "",
        bounds=tuple(_bounds(schema)),
        is_deprecated=schema.get("deprecated") is True,
    )


def _type(schema: Mapping[str, Any]) -> str:
    given = schema.get("type")
    if isinstance(given, list):
        return " or ".join(map(str, given))
    if given:
        return str(given)
    for keyword, words in (("oneOf", "one of {}"), ("anyOf", "any of {}"), ("allOf", "all of {}")):
        if keyword in schema:
            return words.format(len(schema[keyword]))
    values = [schema["const"]] if "const" in schema else schema.get("enum", ())
    if values:
        return " or ".join(sorted({_TYPES[type(value)] for value in values}))
    return "object" if "properties" in schema else "array" if "items" in schema else "any"


_TYPES: Final[Mapping[type, str]] = {
    **{str: "string", bool: "boolean", int: "integer", float: "number"},
    **{dict: "object", list: "array", type(None): "null"},
}


_RANGES: Final[Sequence[tuple[str, str, str]]] = (
    ("minimum", "maximum", ""),
    ("exclusiveMinimum", "exclusiveMaximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " members"),
)


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield what else a value must be, in words."""
    for lower, upper, unit in _RANGES:
        words = _range(_bound(schema, lower), _bound(schema, upper), strict=lower.startswith("exclusive"))
        if words:
            yield words + unit
    if "const" in schema:
        yield f"is {_shown(schema['const'])}"
    if "enum" in schema:
        yield _cut("one of " + ", ".join(map(_shown, schema["enum"][:_VALUES_MAX])))
    for keyword, words in (
        ("format", "format {}"),
        ("pattern", "matches {}"),
        ("multipleOf", "multiple of {}"),
    ):
        if keyword in schema:
            yield _cut(words.format(schema[keyword]))
    if schema.get("uniqueItems"):
        yield "no two alike"
    if "default" in schema:
        yield f"default {_shown(schema['default'])}"
    if False in (schema.get("additionalProperties"), schema.get("unevaluatedProperties")):
        yield "no other members"
    if False in (schema.get("items"), schema.get("unevaluatedItems")):
        yield "no other items"


def _bound(schema: Mapping[str, Any], keyword: str) -> Any:
    value = schema.get(keyword)
    return int(value) if value is not None and KEYWORDS[keyword] is Form.COUNT else value  # it may be 2.0


def _range(least: object, most: object, *, strict: bool) -> str:
    if least is None and most is None:
        return ""
    if least is not None and least == most:
        return f"{least}"
    if strict:
        below = "" if most is None else f"less than {most}"
        above = "" if least is None else f"more than {least}"
        return " and ".join(part for part in (above, below) if part)
    if most is None:
        return f"{least} or more"
    return f"at most {most}" if least is None else f"{least} to {most}"


def _shown(value: object) -> str:
    return _cut(dumps(value, ensure_ascii=False), _VALUE_CHARACTERS_MAX)


def _cut(text: str, characters_max: int = _CELL_CHARACTERS_MAX) -> str:
    return text if len(text) <= characters_max else f"{text[:characters_max]}..."
