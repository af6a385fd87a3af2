"""`allOf` of objects, as of a base and what is added to it: one object with all members, where that says as much."""

from functools import partial
from typing import Final

from eventfabric.contracts.references import References
from eventfabric.typed.walking import Schema, replaced

_OF_AN_OBJECT: Final = {"type", "properties", "required", "title", "description", "examples", "$comment"}


def joined(whole: Schema) -> Schema:
    """Return a schema in which each `allOf` of objects is one object, if no two of them differ about a member."""
    return _joined(References(whole), whole)


def _joined(references: References, schema: Schema, *_: str) -> Schema:
    below = replaced(schema, partial(_joined, references))
    parts = [_object(references, branch) for branch in below.get("allOf", ())]
    if not parts or any(part is None for part in parts):
        return below
    own = {word: value for word, value in below.items() if word != "allOf"}
    return _sum([part for part in parts if part is not None], own) or below


def _object(references: References, branch: object) -> Schema | None:
    """Return a branch, or what it refers to, if it only describes members of an object."""
    if not isinstance(branch, dict):
        return None
    if "$ref" in branch:
        target = references.target(branch)
        rest = {word: value for word, value in branch.items() if word != "$ref"}
        # Its own references circle nowhere: a schema that applies to itself in place is refused when it is read.
        referred = _joined(references, target) if isinstance(target, dict) else None
        return (
            None
            if referred is None or set(rest) - {"description", "title"}
            else _object(references, referred)
        )
    branch = {word: value for word, value in branch.items() if word not in ("$defs", "$schema")}
    is_object = branch.get("type", "object") == "object" and not set(branch) - _OF_AN_OBJECT
    return branch if is_object else None


def _sum(parts: list[Schema], own: Schema) -> Schema | None:
    """Return an object with the members of all; None if two of them differ about one."""
    properties: Schema = {}
    required: set[str] = set()
    for part in (*parts, own):
        for name, member in part.get("properties", {}).items():
            if properties.setdefault(name, member) != member:
                return None
        required.update(part.get("required", ()))
    kinds = {part["type"] for part in (*parts, own) if isinstance(part.get("type"), str)}
    if kinds - {"object"} or not properties:
        return None
    return {**own, "type": "object", "properties": properties, "required": sorted(required)}
