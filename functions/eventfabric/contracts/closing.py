"""Closes a schema for producers: at each place of a document, members that no schema there names are refused.

`unevaluatedProperties: false` goes to places of the document (the root, members, items), never into a schema that
applies in place beside others, as a branch of `allOf` does: it would refuse what the others name. So a schema that is
referred to, and stands at a place of its own too, gets a second, open version. An object whose schemas name no member
stays open. Conditions (`if`, `not`, `contains`, `propertyNames`) are left as they are.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from eventfabric.contracts.keywords import ANNOTATIONS, KEYWORDS, Form, JsonSchema, pointer, subschemas
from eventfabric.contracts.references import References
from eventfabric.contracts.tags import Tags

_Path = tuple[str, ...]
_PLACES: Final = frozenset(
    (
        "additionalProperties",
        "items",
        "patternProperties",
        "prefixItems",
        "properties",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
_IN_PLACE: Final = frozenset(("allOf", "anyOf", "dependentSchemas", "else", "oneOf", "then"))
_LEFT_ALONE: Final = frozenset(("contains", "contentSchema", "if", "not", "propertyNames"))


def closed(schema: JsonSchema) -> JsonSchema:
    """Return a schema that refuses unnamed members too. The one that is given passed the lint."""
    return _Closer(schema).closed()


def closed_with_origins(schema: JsonSchema) -> tuple[JsonSchema, dict[_Path, _Path]]:
    """Return a closed schema, and by the path of each definition that it adds, the path of what that is made of."""
    closer = _Closer(schema)
    return closer.closed(), closer.origins()


def closed_suffices(schema: JsonSchema) -> bool:
    """Return if all that the closed schema accepts is accepted by the schema itself.

    It is not where closing a branch of `oneOf` may leave just one of two that matched: then a document has to be
    valid against both, the closed schema and the schema itself.
    """
    return _Closer(schema).suffices()


class Naming:
    """Knows of each schema if it, or a schema that applies in place beside it, names a member."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._known: dict[int, bool] = {}

    def names_members(self, schema: JsonSchema) -> bool:
        """Return if a schema names a member of the objects that it accepts. It has no circle in place."""
        if isinstance(schema, bool):
            return False
        known = self._known.get(id(schema))
        if known is None:
            known = (
                bool(schema.get("properties") or schema.get("patternProperties"))
                or "additionalProperties" in schema
                or "unevaluatedProperties" in schema
                or self._is_named_below(schema)
            )
            self._known[id(schema)] = known
        return known

    def _is_named_below(self, schema: dict[str, Any]) -> bool:
        target = self._references.target(schema)
        if target is not None and self.names_members(target):
            return True
        return any(self.names_members(inner) for path, inner in subschemas(schema) if path[0] in _IN_PLACE)

    def is_closed_here(self, schema: JsonSchema) -> bool:
        """Return if closing adds something to a schema that stands at a place of the document."""
        return (
            isinstance(schema, dict)
            and "additionalProperties" not in schema
            and "unevaluatedProperties" not in schema
            and self.names_members(schema)
        )


class _Closer:
    """Makes the closed version of one schema."""

    def __init__(self, root: JsonSchema) -> None:
        self._root = root
        self._references = References(root)
        self._naming = Naming(self._references)
        self._definitions: dict[str, JsonSchema] = {}
        self._open_names: dict[_Path, str] = {}
        self._closed_names: dict[_Path, str] = {}
        self._waiting: list[_Path] = []
        self._untouched_name = ""

    def closed(self) -> JsonSchema:
        if isinstance(self._root, bool):
            return self._root
        result = self._closed(self._root, is_place=True)
        assert isinstance(result, dict)
        while self._waiting:
            path = self._waiting.pop()
            target = self._references.schema(path)
            assert target is not None, "the reference was resolved before"
            self._definitions[self._open_names[path]] = _nameless(self._closed(target, is_place=False))
        if self._untouched_name:
            self._definitions[self._untouched_name] = _nameless(self._untouched(self._root))
        if self._definitions:
            result["$defs"] = {**result.get("$defs", {}), **self._definitions}
        return result

    def origins(self) -> dict[_Path, _Path]:
        """Return of the definitions that closing has added what they are made of."""
        names = {
            name: path for known in (self._open_names, self._closed_names) for path, name in known.items()
        }
        return {("$defs", name): path for name, path in {**names, self._untouched_name: ()}.items()}

    def suffices(self) -> bool:
        """Return if no closed place can be reached from a branch of a `oneOf` whose branches may match together."""
        above: dict[int, list[int]] = {}
        unions: list[list[JsonSchema]] = []
        reached = set[int]()
        waiting: list[tuple[JsonSchema, bool]] = [(self._root, True)]
        while waiting:
            schema, is_place = waiting.pop()
            if isinstance(schema, bool):
                continue
            if is_place and self._naming.is_closed_here(schema):
                reached.add(id(schema))
            if "oneOf" in schema:
                unions.append(schema["oneOf"])
            for path, inner in subschemas(schema):
                waiting.append((inner, path[0] in _PLACES))
                above.setdefault(id(inner), []).append(id(schema))
            if "$ref" in schema:
                above.setdefault(id(self._references.target(schema)), []).append(id(schema))
        reached |= _all_above(reached, above)
        tags = Tags(self._references)
        return all(reached.isdisjoint(map(id, union)) or tags.are_apart(union) for union in unions)

    def _closed(self, schema: JsonSchema, *, is_place: bool) -> JsonSchema:
        if isinstance(schema, bool):
            return schema
        is_closed_here = is_place and self._naming.is_closed_here(schema)
        if is_closed_here and _is_bare_reference(schema):
            return {**_without_anchor(schema), "$ref": self._closed_reference(schema["$ref"])}
        result: dict[str, Any] = {}
        for keyword, value in _without_anchor(schema).items():
            if keyword == "$ref":
                result[keyword] = self._reference(value)
            elif keyword in _LEFT_ALONE:
                result[keyword] = self._untouched(value)
            else:
                change = partial(self._closed, is_place=keyword in _PLACES)
                result[keyword] = _changed(keyword, value, change)
        if is_closed_here:
            result["unevaluatedProperties"] = False
        return result

    def _reference(self, reference: str) -> str:
        """Return a reference to the version that applies in place."""
        path = self._references.path(reference)
        assert path is not None, "the lint refuses references to nothing"
        if not self._is_changed_for_its_place(path):
            return "#" + _fragment(path)
        if path not in self._open_names:
            self._open_names[path] = self._new_name("open")
            self._waiting.append(path)
        return "#" + _fragment(("$defs", self._open_names[path]))

    def _closed_reference(self, reference: str) -> str:
        """Return a reference to the closed version, of which there is one.

        Written out at each place, as many copies of what is referred to would have to be compiled.
        """
        path = self._references.path(reference)
        assert path is not None, "the lint refuses references to nothing"
        if self._is_closed_at_its_place(path):
            return "#" + _fragment(path)
        if path not in self._closed_names:
            name = self._closed_names[path] = self._new_name("closed")
            self._definitions[name] = {"$ref": self._reference(reference), "unevaluatedProperties": False}
        return "#" + _fragment(("$defs", self._closed_names[path]))

    def _is_closed_at_its_place(self, path: _Path) -> bool:
        """Return if a schema's own text is its closed version."""
        return self._is_changed_for_its_place(path) and _LEFT_ALONE.isdisjoint(self._keywords_to(path))

    def _keywords_to(self, path: _Path) -> Iterator[str]:
        """Yield the keywords on a path, without the names and numbers between them."""
        tokens = iter(path)
        for keyword in tokens:
            yield keyword
            if KEYWORDS[keyword] is not Form.SCHEMA:
                next(tokens)

    def _is_changed_for_its_place(self, path: _Path) -> bool:
        """Return if a schema's own text is not its version in place: it is closed there, or left alone."""
        is_place = True
        for keyword in self._keywords_to(path):
            if keyword in _LEFT_ALONE:
                return True
            is_place = keyword in _PLACES
        schema = self._references.schema(path)
        return is_place and schema is not None and self._naming.is_closed_here(schema)

    def _untouched(self, schema: JsonSchema) -> JsonSchema:
        """Return a schema as it is, its references led to a copy of the whole document as it was."""
        if isinstance(schema, bool):
            return schema
        result: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword == "$ref":
                path = self._references.path(value)
                assert path is not None, "the lint refuses references to nothing"
                self._untouched_name = self._untouched_name or self._new_name("untouched")
                result[keyword] = "#" + _fragment(("$defs", self._untouched_name, *path))
            elif keyword != "$anchor":
                result[keyword] = _changed(keyword, value, self._untouched)
        return result

    def _new_name(self, kind: str) -> str:
        """Return a name for a definition that the schema has not given to another."""
        own = self._root.get("$defs", {}) if isinstance(self._root, dict) else {}
        given = {*own, *self._open_names.values(), *self._closed_names.values()}
        number = len(given)
        while f"{kind}-{number}" in given:
            number += 1
        return f"{kind}-{number}"


def _without_anchor(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the name by which others refer to it: there may be a second version of it."""
    return {keyword: value for keyword, value in schema.items() if keyword != "$anchor"}


def _is_bare_reference(schema: dict[str, Any]) -> bool:
    """Tell if a schema is a reference, and has beside it only what refuses nothing."""
    return "$ref" in schema and all(
        keyword == "$ref" or keyword in ANNOTATIONS or keyword.startswith("x-") for keyword in schema
    )


def _changed(keyword: str, value: Any, change: Callable[[JsonSchema], JsonSchema]) -> Any:
    """Return a keyword's value with each schema in it changed."""
    match KEYWORDS.get(keyword):
        case Form.SCHEMA:
            return change(value)
        case Form.SCHEMAS:
            return [change(item) for item in value]
        case Form.MEMBERS:
            return {name: change(member) for name, member in value.items()}
    return value


def _all_above(below: set[int], above: dict[int, list[int]]) -> set[int]:
    reached = set(below)
    waiting = list(below)
    while waiting:
        for schema in above.get(waiting.pop(), ()):
            if schema not in reached:
                reached.add(schema)
                waiting.append(schema)
    return reached


def _nameless(schema: JsonSchema) -> JsonSchema:
    """Return a schema without what names a whole document: it is put inside another."""
    if isinstance(schema, bool):
        return schema
    return {keyword: value for keyword, value in schema.items() if keyword not in ("$id", "$schema")}


def _fragment(path: _Path) -> str:
    """Return a path as a pointer in a URI."""
    return quote(pointer(path), safe="/~!$&'()*+,;=:@")
