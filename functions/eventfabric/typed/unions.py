"""Unions in normal form: a list of types where that says as much, and null as a type or a value beside others."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventfabric.typed.walking import Schema

_MORE_THAN_A_TYPE: Final = {
    *("$ref", "anyOf", "oneOf", "allOf", "enum", "const"),
    *("title", "description", "default"),
}
_RESTRICTS: Final = {"type", "enum", "const", "anyOf", "$ref", "oneOf", "allOf"}


def merged_union(schema: Schema) -> Schema:
    """Write a union as a list of types where its branches are of different types and have no further names.

    That changes nothing, since a keyword such as `minimum` only concerns values of its own type.
    """
    rest = {keyword: value for keyword, value in schema.items() if keyword != "anyOf"}
    branches = [_enumerated(branch) for branch in _flat(schema["anyOf"])]
    plain = [branch for branch in branches if _is_plain(branch)]
    merged = _merged(plain)
    if merged is None:
        return {**rest, "anyOf": branches}
    return {**rest, **_with_others(merged, [branch for branch in branches if not _is_plain(branch)])}


def _is_plain(branch: Schema) -> bool:
    """Tell if a branch is of certain types, and says nothing that concerns them together."""
    return "type" in branch and not _MORE_THAN_A_TYPE & set(branch)


def _with_others(merged: Schema, others: list[Schema]) -> Schema:
    """Return the union of a list of types, which may be empty, and other branches."""
    if not others:
        return merged
    if not merged and len(others) == 1:
        return others[0]
    if merged == {"type": "null"} and len(others) == 1 and "enum" in others[0]:
        return {**others[0], "enum": [*others[0]["enum"], None]}
    return {"anyOf": [*others, *([merged] if merged else [])]}


def admits_null(schema: Mapping[str, Any]) -> bool:
    """Tell if null is accepted, by a schema in normal form."""
    if not _RESTRICTS.intersection(schema):
        return True
    return (
        "null" in types_of(schema)
        or None in schema.get("enum", ())
        or schema.get("const", "") is None
        or any(admits_null(part) for part in schema.get("anyOf", ()))
    )


def _flat(branches: Sequence[Schema]) -> list[Schema]:
    flat: list[Schema] = []
    for branch in branches:
        flat += branch["anyOf"] if set(branch) == {"anyOf"} else [branch]
    return flat


def _merged(branches: Sequence[Schema]) -> Schema | None:
    """Return one schema for branches of different types; None if two would have to share a type or a keyword."""
    merged: Schema = {}
    for branch in branches:
        kinds = types_of(merged)
        if (set(branch) - {"type"}) & set(merged) or _overlap(set(kinds), set(types_of(branch))):
            return None
        merged = {**merged, **branch, "type": [*kinds, *types_of(branch)]}
    if merged:
        kinds = sorted(merged["type"], key=lambda kind: (kind == "null", kind))
        merged["type"] = kinds[0] if len(kinds) == 1 else kinds
    return merged


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema lists."""
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _enumerated(branch: Schema) -> Schema:
    """Write a constant as an enum of one value, as an open enum has it."""
    if "const" not in branch:
        return branch
    return {**{k: v for k, v in branch.items() if k != "const"}, "enum": [branch["const"]]}


def _overlap(kinds: set[str], others: set[str]) -> bool:
    """Tell if a value may be of both. Every integer is a number, too."""
    numbers = {"integer", "number"}
    return bool(kinds & others) or bool(numbers & kinds and numbers & others)
