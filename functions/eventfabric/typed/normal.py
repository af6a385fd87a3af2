"""The normal form of a schema that a library made from a class: equal classes have equal schemas, whichever made it.

Nothing that is accepted changes, be it by readers or at publishing. What goes is noise (titles that repeat a name,
`additionalProperties: true` of a map), keywords that are not JSON Schema's (`discriminator`), and defaults that are no
plain value.
"""

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from json import dumps
from typing import Any, Final

from eventfabric.contracts.keywords import DIALECT
from eventfabric.typed.unions import admits_null, merged_union, types_of
from eventfabric.typed.walking import Schema, references_in, replaced, schemas_in

_PLAIN: Final = str | int | float | None  # a bool is an int
_NOT_STANDARD: Final = ("binary", "decimal", "partial-time")
_PREFIX: Final = "#/$defs/"


def normal_form(made: Mapping[str, Any], *, name: str = "") -> Schema:
    """Return the normal form of a schema as msgspec and pydantic make it. `name`: the class, whose title is noise."""
    tagged = _tagged(made)
    whole = _normal(dict(made), "", "")
    definitions: Schema = whole.pop("$defs", {})
    for tag, references in tagged.items():
        for reference in references:
            _require_tag(definitions.get(reference.removeprefix(_PREFIX), {}), tag)
    whole = _inlined(whole, definitions)
    if whole.get("title") == name:
        del whole["title"]
    kept = _used(whole, definitions)
    named = {defined: _untitled(part, defined) for defined, part in sorted(kept.items())}
    return _ordered({"$schema": DIALECT, **whole, **({"$defs": named} if named else {})})


def _ordered(schema: Schema, *_: str) -> Schema:
    """Sort the branches of unions, with plain types last."""
    ordered = replaced(schema, _ordered)
    if "anyOf" in ordered:
        ordered["anyOf"].sort(key=lambda branch: ("type" in branch, dumps(branch, sort_keys=True)))
    return ordered


def _normal(schema: Schema, keyword: str, _: str) -> Schema:
    """Return the normal form of a schema, which stands at a keyword, and of all in it."""
    normal = replaced(schema, _normal)
    if normal.pop("discriminator", None) is not None and "oneOf" in normal:
        normal["anyOf"] = normal.pop("oneOf")
    _drop_what_says_nothing(normal)
    _correct_format(normal)
    if "description" in normal:
        normal["description"] = cleandoc(normal["description"])
    if "enum" in normal:
        normal["enum"] = sorted(normal["enum"], key=_order_of_value)
        if len(normal["enum"]) == 1 and keyword != "$defs":
            normal["const"] = normal.pop("enum")[0]
    if "enum" in normal or "const" in normal:
        normal.pop("type", None)
    if "anyOf" in normal:
        normal = merged_union(normal)
        _keep_maps_open(normal.get("anyOf", ()))
    if not _keeps_default(normal):
        normal.pop("default", None)
    return normal


def _keep_maps_open(branches: Sequence[Schema]) -> None:
    """Let maps beside others have any member: publishing would be closed to those that no branch names."""
    for branch in branches:
        if "object" in types_of(branch) and "properties" not in branch:
            branch.setdefault("additionalProperties", True)


def _correct_format(normal: Schema) -> None:
    """Take out formats that are not JSON Schema's. The fabric publishes decimals as numbers."""
    if normal.get("format") == "decimal":
        normal.pop("default", None)
        normal["type"] = "number"
    if normal.get("format") in _NOT_STANDARD:
        del normal["format"]


def _order_of_value(value: Any) -> tuple[bool, str, Any]:
    return value is None, type(value).__name__, value


def _drop_what_says_nothing(normal: Schema) -> None:
    """Take out what is the default of its keyword."""
    if normal.get("additionalProperties") in (True, {}):
        if "properties" in normal:  # publishing would be closed to others
            normal["additionalProperties"] = True
        else:
            del normal["additionalProperties"]
    positions = len(normal.get("prefixItems", ()))
    if normal.get("items") in (True, {}) or (
        normal.get("items") is False and normal.get("maxItems") == positions
    ):
        del normal["items"]
    if "required" in normal:
        normal["required"] = sorted(normal["required"])
        if not normal["required"]:
            del normal["required"]


def _keeps_default(normal: Schema) -> bool:
    """Tell if a default is a plain value that the schema itself accepts, which is all that a class can say again."""
    default = normal.get("default")
    if default in ([], {}):
        return "$ref" not in normal
    if not isinstance(default, _PLAIN) or "const" in normal:
        return False
    if default is None:
        return admits_null(normal)
    return "format" not in normal and "contentEncoding" not in normal


def _tagged(made: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the references of unions that a member tells apart, by that member."""
    tagged: dict[str, list[str]] = {}
    for part in schemas_in(made):
        tag = part.get("discriminator", {}).get("propertyName")
        if tag is not None:
            branches = part.get("oneOf") or part.get("anyOf") or ()
            tagged.setdefault(tag, []).extend(b["$ref"] for b in branches if "$ref" in b)
    return tagged


def _require_tag(definition: Schema, tag: str) -> None:
    """Make a tag required. With pydantic it may have a default, and is always written nevertheless."""
    if tag in definition.get("properties", {}):
        definition["required"] = sorted({*definition.get("required", ()), tag})


def _inlined(whole: Schema, definitions: Schema) -> Schema:
    """Put the definition to which a whole schema refers in its place, and have others refer to the whole by '#'."""
    reference = whole.get("$ref", "")
    if not reference.startswith(_PREFIX) or set(whole) != {"$ref"}:
        return whole
    name = reference.removeprefix(_PREFIX)
    for other in list(definitions):
        definitions[other] = _renamed(definitions[other], reference)
    return dict(definitions.pop(name))


def _renamed(schema: Schema, reference: str) -> Schema:
    renamed = replaced(schema, lambda part, *_: _renamed(part, reference))
    if renamed.get("$ref") == reference:
        renamed["$ref"] = "#"
    return renamed


def _used(whole: Schema, definitions: Schema) -> Schema:
    """Return the definitions that are reached from the whole."""
    used: Schema = {}
    waiting = [whole]
    while waiting:
        for reference in references_in(waiting.pop()):
            name = reference.removeprefix(_PREFIX)
            if name in definitions and name not in used:
                used[name] = definitions[name]
                waiting.append(definitions[name])
    return used


def _untitled(definition: Schema, name: str) -> Schema:
    """Drop the title of a definition that repeats its name."""
    repeats = definition.get("title") in (name, name.rpartition(".")[2])
    return {k: v for k, v in definition.items() if k != "title" or not repeats}
