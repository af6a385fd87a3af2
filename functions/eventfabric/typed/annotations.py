"""Annotations: the type of Python for a schema, such that msgspec or pydantic can decode what the schema accepts.

Where no type of Python says as much as the schema, a wider type is chosen, never one that refuses what it accepts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from eventfabric.errors import InvalidSchemaError, Problem
from eventfabric.typed.checked import INTEGERS, words_unchecked
from eventfabric.typed.dialects import Dialect
from eventfabric.typed.layout import Either, Expression, Group, literal
from eventfabric.typed.shapes import constant_of
from eventfabric.typed.targets import Document, Target, is_made_of_itself
from eventfabric.typed.walking import Schema, references_in

Kind: TypeAlias = str
"""Type of JSON: str, int, float, bool, None, list or dict, as Python calls it."""
_KINDS: Final[Mapping[str, Kind]] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "array": "list",
    "object": "dict",
}
_WIDEST: Final = {"list": "list[Any]", "dict": "dict[str, Any]"}
_NUMBERS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
_KEYWORDS: Final[Mapping[Kind, Sequence[str]]] = {
    "str": ("minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"),
    "int": _NUMBERS,
    "float": _NUMBERS,
    "list": ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"),
    "dict": ("minProperties", "maxProperties", "propertyNames", "required", "patternProperties"),
}
_FORMATS: Final = {
    "date": "datetime.date",
    "duration": "datetime.timedelta",
    "uuid": "UUID",
}
_ZONED: Final = {"date-time": "datetime.datetime", "time": "datetime.time"}
_DESCRIBES: Final = {
    "$ref",
    "anyOf",
    "oneOf",
    "allOf",
    "properties",
    "patternProperties",
    "if",
    "dependentSchemas",
}
"""Keywords that each describe a value, or members of it."""
_ABOUT: Final = ("title", "description", "examples", "deprecated", "readOnly", "writeOnly")


@dataclass(frozen=True, slots=True)
class _Part:
    """One alternative of a union: the kinds of JSON that it stands for, and its annotation."""

    kinds: frozenset[Kind]
    annotation: Expression
    target: Target | None = None


class Annotations:
    """Makes annotations of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._open: list[str] = []

    def of(self, schema: Schema, document: Document) -> Expression:
        """Return the annotation for what a schema accepts."""
        about = {word: schema[word] for word in _ABOUT if schema.get(word)}
        return self._dialect.constrained(self._bare(schema, document), about)

    def kinds_of(self, schema: Schema, document: Document) -> frozenset[Kind]:
        """Return the kinds of JSON that a schema accepts; none: any."""
        return frozenset(kind for part in self._parts(schema, document) for kind in part.kinds)

    def _bare(self, schema: Schema, document: Document) -> Expression:
        parts = self._parts(schema, document)
        if not parts or any(not part.kinds for part in parts):
            return "Any"
        classes = [part.target for part in parts if part.target is not None and _is_class(part.target)]
        if len(classes) > 1:
            parts = self._told_apart(parts, classes)
        return _union(_without_conflicts(parts))

    def _told_apart(self, parts: list[_Part], classes: Sequence[Target]) -> list[_Part]:
        """Return parts with one for all classes, if a member tells them apart. InvalidSchemaError."""
        names = tuple(dict.fromkeys(target.name for target in classes))
        if not self._dialect.tags:
            problem = Problem(
                " | ".join(names), "a union of several classes", "--kind msgspec or --kind pydantic"
            )
            raise InvalidSchemaError([problem], where=classes[0].document.source.type)
        tags = {target.tag_member for target in classes}
        # A class that adds to another has the other's constant, which tells both apart from third ones alone.
        constants = {constant_of(target.schema, target.tag_member) for target in classes}
        if len(tags) > 1 or tags == {""} or len(constants) < len(names):
            return parts
        union = _Part(frozenset({"dict"}), self._dialect.tagged(Either(names), tags.pop()))
        return [union, *(part for part in parts if part.target not in classes)]

    def _parts(self, schema: Schema, document: Document) -> list[_Part]:
        """Return the alternatives of a schema; empty: any value."""
        union = schema.get("anyOf", schema.get("oneOf"))
        if len(_DESCRIBES & set(schema)) > 1:  # what one of them names, a class of the other would lose
            return self._widest_parts(schema, document)
        if "$ref" in schema:
            return self._parts_of_target(document.targets[schema["$ref"]])
        if "const" in schema or "enum" in schema:
            return _literals(schema.get("enum", [schema.get("const")]))
        if isinstance(union, list) and "type" not in schema:
            return self._parts_of_union(union, document)
        kinds = schema.get("type", ())
        names = [kinds] if isinstance(kinds, str) else kinds
        return [self._part(_KINDS[name], schema, document) for name in names]

    def _widest_parts(self, schema: Schema, document: Document) -> list[_Part]:
        """Return the widest types of the kinds that one of several descriptions of a value leaves; empty: any."""
        alone: list[Schema] = [{word: schema[word]} for word in sorted(_DESCRIBES & set(schema))]
        alone += [{"type": "object"}] if "properties" in schema else []
        kinds = [self.kinds_of(part, document) for part in alone]
        known = [some for some in kinds if some]
        return _widest(frozenset.intersection(*known)) if known else []

    def _parts_of_union(self, union: Sequence[Any], document: Document) -> list[_Part]:
        parts: list[_Part] = []
        for branch in union:
            if branch is False:
                continue
            inner = self._parts(branch, document) if isinstance(branch, dict) else []
            if not inner:
                return []
            parts += [_Part(part.kinds, self._about(branch, part), part.target) for part in inner]
        return parts

    def _about(self, branch: Schema, part: _Part) -> Expression:
        about = {word: branch[word] for word in _ABOUT if branch.get(word)}
        return self._dialect.constrained(part.annotation, about)

    def _parts_of_target(self, target: Target) -> list[_Part]:
        match target.category:
            case "class":
                return [_Part(frozenset({"dict"}), target.name, target)]
            case "enum":
                kind = type(target.schema["enum"][0]).__name__
                return [_Part(frozenset({kind}), target.name, target)]
            case "open enum":
                return [_Part(frozenset({"str"}), target.name, target)]
        if target.name in self._open:
            return []
        self._open.append(target.name)
        try:
            kinds = self.kinds_of(target.schema, target.document)
        finally:
            self._open.pop()
        if is_made_of_itself(target):  # which no alias can be
            return _widest(kinds)
        return [_Part(kinds, target.name, target)] if kinds else []

    def _part(self, kind: Kind, schema: Schema, document: Document) -> _Part:
        """Return the alternative for one type of JSON."""
        keywords = {
            word: schema[word]
            for word in _KEYWORDS.get(kind, ())
            if word in schema and not _refers(schema[word])
        }
        annotation: Expression = kind
        if kind == "str":
            annotation = self._text(keywords)
        elif kind == "list":
            annotation = self._array(schema, keywords, document)
        elif kind == "dict":
            values = schema.get("additionalProperties", True)
            is_plain = isinstance(values, dict) and not {"properties", "patternProperties"} & set(schema)
            annotation = Group("dict[", ("str", self.of(values, document) if is_plain else "Any"), "]")
        unchecked = {word: keywords.pop(word) for word in words_unchecked(keywords, kind)}
        return _Part(frozenset({kind}), self._dialect.constrained(annotation, keywords, unchecked=unchecked))

    def _text(self, keywords: dict[str, Any]) -> Expression:
        """Return the annotation of text, and take out of its keywords what that says already."""
        is_only, name = len(keywords) == 1, self._dialect.name
        format_ = keywords.get("format", "") if is_only else ""
        if format_ in _FORMATS:
            del keywords["format"]
            return _FORMATS[format_]
        if format_ in _ZONED:
            del keywords["format"]
            if name == "pydantic":
                return "AwareDatetime" if format_ == "date-time" else _ZONED[format_]
            return Group("Annotated[", (_ZONED[format_], "Meta(tz=True)"), "]")
        if is_only and keywords.get("contentEncoding") == "base64" and name != "pydantic":
            del keywords["contentEncoding"]
            return "bytes"
        return "str"

    def _array(self, schema: Schema, keywords: dict[str, Any], document: Document) -> Expression:
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        size = len(first)
        if first and keywords.get("minItems") == keywords.get("maxItems") == size:
            del keywords["minItems"], keywords["maxItems"]
            return Group("tuple[", tuple(self.of(part, document) for part in first), "]")
        return Group(
            "list[", (self.of(rest, document) if isinstance(rest, dict) and not first else "Any",), "]"
        )


def _refers(value: Any) -> bool:
    """Tell if a keyword's value holds references, which have no meaning outside of their schema."""
    parts = value.values() if isinstance(value, dict) else []
    return isinstance(value, dict) and bool(
        references_in(value) or any(references_in(part) for part in parts if isinstance(part, dict))
    )


def _literals(values: Sequence[Any]) -> list[_Part]:
    """Return the alternatives for some values: literals, or the types of values that cannot be literals."""
    parts: list[_Part] = []
    exact = [
        value
        for value in values
        if isinstance(value, str) or (type(value) is int and value in INTEGERS)  # a bool is an int
    ]
    if exact:
        kinds = frozenset(type(value).__name__ for value in exact)
        parts.append(_Part(kinds, Group("Literal[", tuple(literal(value) for value in exact), "]")))
    for value in values:
        if value not in exact or isinstance(value, bool):
            kind = "None" if value is None else type(value).__name__
            parts.append(_Part(frozenset({kind}), _WIDEST.get(kind, kind)))
    return parts


def _is_class(target: Target) -> bool:
    return target.category == "class"


def _without_conflicts(parts: Iterable[_Part]) -> list[_Part]:
    """Return parts of different kinds: where several are of one kind, the type that holds all of them."""
    kept: list[_Part] = []
    for part in parts:
        if part in kept:
            continue
        conflicting = [other for other in kept if _conflict(other, part)]
        if not conflicting:
            kept.append(part)
            continue
        kinds = part.kinds.union(*(other.kinds for other in conflicting))
        kept = [other for other in kept if other not in conflicting]
        kept += _widest(kinds)
    return kept


def _conflict(first: _Part, second: _Part) -> bool:
    """Tell if a value may be of two parts. Any integer may be of both kinds of numbers."""
    numbers = {"int", "float"}
    are_numbers = numbers == numbers & (first.kinds | second.kinds)
    return bool(first.kinds & second.kinds) or (
        are_numbers and not {first.annotation, second.annotation} <= numbers
    )


def _widest(kinds: Iterable[Kind]) -> list[_Part]:
    return [_Part(frozenset({kind}), _WIDEST.get(kind, kind)) for kind in sorted(kinds)]


def _union(parts: Sequence[_Part]) -> Expression:
    annotations: list[Expression] = []
    for part in parts:
        inner = part.annotation.parts if isinstance(part.annotation, Either) else (part.annotation,)
        annotations += [annotation for annotation in inner if annotation not in annotations]
    annotations.sort(key=lambda annotation: annotation == "None")
    return annotations[0] if len(annotations) == 1 else Either(tuple(annotations))
