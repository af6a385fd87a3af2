"""Shapes of schemas that become classes or enums, and a definition for each that stands in the middle of another."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from eventfabric.contracts.keywords import IN_PLACE
from eventfabric.typed.all_of import joined
from eventfabric.typed.checked import INTEGERS
from eventfabric.typed.names import class_name
from eventfabric.typed.walking import Schema, is_same, replaced, schemas_in, without_booleans

_MEMBERS: Final = {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "$ref"}


@dataclass(frozen=True, slots=True)
class TypeSchema:
    """The schema of one type of events."""

    stream: str
    type: str
    schema: Schema


def is_class(schema: Mapping[str, Any]) -> bool:
    """Tell if a schema is an object's with named members, and no others that it describes."""
    kinds = schema.get("type", "object" if "properties" in schema else None)
    others = schema.get("additionalProperties", schema.get("unevaluatedProperties", False))
    is_described = others is not False or bool(schema.get("patternProperties")) or _names_elsewhere(schema)
    return kinds == "object" and "properties" in schema and not is_described


def _names_elsewhere(schema: Mapping[str, Any]) -> bool:
    """Tell if schemas that apply to the same object describe members, too. A class would lose these."""
    beside = {keyword: schema[keyword] for keyword in IN_PLACE if keyword in schema and keyword != "not"}
    return "$ref" in schema or any(_MEMBERS & set(part) for part in schemas_in(beside))


def open_values(schema: Mapping[str, Any]) -> list[str] | None:
    """Return the known values of an open enum; None: the schema is none. Null may be allowed beside them."""
    parts = schema.get("anyOf", ())
    if len(parts) != 2 or set(parts[0]) != {"enum"} or not all(isinstance(v, str) for v in parts[0]["enum"]):
        return None
    return list(parts[0]["enum"]) if parts[1] in ({"type": "string"}, {"type": ["string", "null"]}) else None


def constant_of(schema: Mapping[str, Any], name: str) -> str | int | None:
    """Return the value that a required member always has, if it has only one, and that can be a tag."""
    value = schema.get("properties", {}).get(name, {}).get("const")
    is_tag = isinstance(value, str) or (type(value) is int and value in INTEGERS)  # a bool is an int
    return value if is_tag and name in schema.get("required", ()) else None


def with_definitions(source: TypeSchema) -> TypeSchema:
    """Return a type's schema with a definition for each class and each open enum that stands inside it."""
    whole = joined(without_booleans(source.schema))
    lifting = _Lifting(dict(whole.pop("$defs", {})))
    for name, definition in list(lifting.definitions.items()):
        lifting.definitions[name] = lifting.lifted(definition, above=name)
    whole = lifting.lifted(whole, above=source.type)
    if lifting.definitions:
        whole["$defs"] = lifting.definitions
    return TypeSchema(source.stream, source.type, whole)


@dataclass(frozen=True, slots=True)
class _Lifting:
    """Moves classes and open enums into the definitions, each named after where it stood."""

    definitions: Schema

    def lifted(self, schema: Schema, *, above: str) -> Schema:
        """Return a schema with references in the places of the classes and open enums inside it."""
        return replaced(schema, partial(self._part, above))

    def _part(self, above: str, part: Schema, keyword: str, name: str) -> Schema:
        is_member = keyword == "properties"
        wanted = str(part.get("title") or f"{above} {name if is_member else _word_for(part)}")
        inner = self.lifted(part, above=wanted)
        values = open_values(inner)
        if values is None and not is_class(inner):
            return inner
        about: Schema = {
            word: inner.pop(word) for word in ("description", "default", "title") if word in inner
        }
        is_nullable = values is not None and inner["anyOf"][1] != {"type": "string"}
        if is_nullable:
            inner["anyOf"] = [{"enum": values}, {"type": "string"}]
        reference: Schema = {"$ref": f"#/$defs/{self._defined(class_name(wanted), inner)}"}
        return about | ({"anyOf": [reference, {"type": "null"}]} if is_nullable else reference)

    def _defined(self, name: str, schema: Schema) -> str:
        """Return the name under which a schema is defined from now on."""
        while not is_same(self.definitions.setdefault(name, schema), schema):
            name += "_"
        return name


def _word_for(part: Schema) -> str:
    """Return a word for a class in a list or union: the value of its first constant member, or Item."""
    for name in sorted(part.get("properties", ())):
        value = constant_of(part, name)
        if isinstance(value, str):
            return value
    return "Item"
