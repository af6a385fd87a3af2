"""`allOf` of objects, as of a base and what is added to it: one object with all members, where that says as much."""

from functools import partial
from typing import Final

from eventfabric.contracts.references import References
from eventfabric.typed.walking import Schema, replaced

_ABOUT: Final = {"title", "description", "examples", "$comment", "$defs", "$schema", "default", "deprecated"}
_OF_AN_OBJECT: Final = {"type", "properties", "required", "title", "description", "examples", "$comment"}
_REFERENCES_MAX: Final = 20
"""Most references from one to the next that are followed: who has more gets a wider type."""


def joined(whole: Schema) -> Schema:
    """Return a schema in which each `allOf` of objects is one object, if no two of them differ about a member."""
    return _joined(References(whole), (), whole)


def _joined(references: References, above: tuple[str, ...], schema: Schema, *_: str) -> Schema:
    """Return a schema with all in it joined. `above`: the references in whose targets it stands."""
    below = replaced(schema, partial(_joined, references, above))
    branches = below.get("allOf", ())
    own = {word: value for word, value in below.items() if word != "allOf"}
    if len(branches) == 1 and branches[0].keys() == {"$ref"} and own.keys() <= _ABOUT:
        return {**own, **branches[0]}
    parts = [_object(references, above, branch) for branch in branches]
    if not parts or None in parts:
        return below
    return _sum([part for part in parts if part is not None], own) or below


def _object(references: References, above: tuple[str, ...], branch: object) -> Schema | None:
    """Return a branch, or what it refers to, if it only describes members of an object."""
    if not isinstance(branch, dict):
        return None
    if "$ref" in branch:
        target, reference = references.target(branch), branch["$ref"]
        is_circle = reference in above or len(above) >= _REFERENCES_MAX
        if is_circle or not isinstance(target, dict) or set(branch) - {"$ref", "description", "title"}:
            return None
        above = (*above, reference)
        return _object(references, above, _joined(references, above, target))
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
