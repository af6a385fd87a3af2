"""Nodes: the schemas of one document, each with its path; and equality of schemas across two documents."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eventfabric.contracts.difference import Work
from eventfabric.contracts.keywords import ANNOTATIONS, KEYWORDS, Form, JsonSchema
from eventfabric.contracts.references import References
from eventfabric.contracts.tags import BranchFacts, Tags
from eventfabric.contracts.values import key_of, keys_of

_UNORDERED = ("allOf", "anyOf", "oneOf")
_SETS = ("enum", "required", "type")
_SILENT = frozenset((*ANNOTATIONS, "$defs"))


@dataclass(frozen=True, eq=False)
class Node:
    """A schema that is an object, at its path in a document. A node is equal to itself only."""

    document: "SchemaNodes"
    path: tuple[str, ...]
    schema: dict[str, Any]

    def inside(self, *tokens: str) -> "Node | bool":
        """Return the schema at a path inside this one."""
        schema: Any = self.schema
        for token in tokens:
            schema = schema[int(token)] if isinstance(schema, list) else schema[token]
        return self.document.node((*self.path, *tokens), schema)

    def schemas_in(self, keyword: str) -> "list[Node | bool]":
        """Return the schemas in a keyword that holds a list of them; none if it is missing."""
        return [self.inside(keyword, str(index)) for index in range(len(self.schema.get(keyword, ())))]

    def target(self) -> "Node | bool | None":
        """Return the schema that `$ref` leads to; None if there is no `$ref`."""
        if "$ref" not in self.schema:
            return None
        path = self.document.references.path(self.schema["$ref"])
        schema = None if path is None else self.document.references.schema(path)
        assert path is not None, "the lint refuses references to nothing"
        assert schema is not None, "the lint refuses references to nothing"
        return self.document.node(path, schema)

    def resolved(self) -> "Node | bool":
        """Return the schema that this one leads to, if it is a reference and nothing more; otherwise itself."""
        node: Node | bool = self
        while isinstance(node, Node) and node._is_mere_reference:
            target = node.target()
            assert target is not None, "it has a reference"
            node = target
        return node

    @cached_property
    def _is_mere_reference(self) -> bool:
        return "$ref" in self.schema and all(
            keyword == "$ref" or is_silent(keyword) for keyword in self.schema
        )

    @cached_property
    def listed(self) -> dict[Hashable, Any] | None:
        """The values that `const` and `enum` allow, by their keys; None if there is neither."""
        return keys_of(self.schema)

    @property
    def facts(self) -> BranchFacts:
        """Facts of all values that this schema accepts."""
        return self.document.tags.facts(self.schema)


_Pair = tuple[Node, Node]


class SchemaNodes:
    """The nodes of one document. A schema is one node, whatever leads to it."""

    def __init__(self, root: JsonSchema) -> None:
        self.references = References(root)
        self.tags = Tags(self.references)
        self._nodes: dict[int, Node] = {}
        self._prints: dict[int, Hashable] = {}
        self.root = self.node((), root)

    def node(self, path: tuple[str, ...], schema: JsonSchema) -> Node | bool:
        """Return the node of a schema; a boolean schema is itself."""
        if isinstance(schema, bool):
            return schema
        node = self._nodes.get(id(schema))
        if node is None:
            node = self._nodes[id(schema)] = Node(self, path, schema)
        return node

    def print_of(self, schema: JsonSchema, work: Work) -> Hashable:
        """Return a fingerprint that schemas of equal meaning share, and few others. References all look alike."""
        if isinstance(schema, bool):
            return schema
        known = self._prints.get(id(schema))
        if known is None:
            work.spend(1)
            known = self._prints[id(schema)] = hash(
                frozenset(
                    (keyword, self._print_of_value(keyword, value, work))
                    for keyword, value in schema.items()
                    if not is_silent(keyword)
                )
            )
        return known

    def _print_of_value(self, keyword: str, value: Any, work: Work) -> Hashable:
        match KEYWORDS.get(keyword):
            case Form.SCHEMA:
                return self.print_of(value, work)
            case Form.SCHEMAS:
                prints = [self.print_of(item, work) for item in value]
                return frozenset(prints) if keyword in _UNORDERED else tuple(prints)
            case Form.MEMBERS:
                return frozenset((name, self.print_of(member, work)) for name, member in value.items())
            case Form.REFERENCE:
                return None
        return plain_key(keyword, value, work)


def is_silent(keyword: str) -> bool:
    """Return if a keyword refuses nothing."""
    return keyword in _SILENT or keyword.startswith("x-")


def plain_key(keyword: str, value: Any, work: Work) -> Hashable:
    """Return a key of a value that holds no schema, which values of equal meaning share."""
    if isinstance(value, list):
        work.spend(len(value))
        if keyword in _SETS:
            return frozenset(key_of(item) for item in value)
    if isinstance(value, dict) and keyword == "dependentRequired":
        return frozenset((name, frozenset(names)) for name, names in value.items())
    return frozenset({value}) if keyword == "type" else key_of(value)


class Likeness:
    """Knows which schemas of two documents are equal, up to annotations, order, and where references lead."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._known: dict[_Pair, bool] = {}

    def are_alike(self, first: Node, second: Node) -> bool:
        """Return if two schemas are equal. Circles are equal if they never differ."""
        pair = first, second
        if pair not in self._known:
            self._compare(pair)
        return self._known[pair]

    def share(self, first: Node, second: Node, keywords: Iterable[str]) -> bool:
        """Return if two schemas have equal values for some keywords, or lack them both."""
        waiting: list[_Pair] = []
        return all(self._is_equal(first, second, keyword, waiting) for keyword in keywords) and all(
            self.are_alike(*pair) for pair in waiting
        )

    def _compare(self, pair: _Pair) -> None:
        """Note of a pair, and of all that it depends on, if they are equal."""
        depending: dict[_Pair, list[_Pair]] = {pair: []}
        waiting = [pair]
        unequal: list[_Pair] = []
        while waiting:
            current = waiting.pop()
            following: list[_Pair] = []
            if current in self._known:
                if not self._known[current]:
                    unequal.append(current)
                continue
            if not self._is_equal_so_far(*current, following):
                unequal.append(current)
                continue
            for inner in following:
                if inner not in depending:
                    depending[inner] = []
                    waiting.append(inner)
                depending[inner].append(current)
        self._known.update(dict.fromkeys(depending, True))
        self._known.update(dict.fromkeys(unequal, False))
        while unequal:
            for above in depending[unequal.pop()]:
                if self._known[above]:
                    self._known[above] = False
                    unequal.append(above)

    def _is_equal_so_far(self, first: Node, second: Node, following: list[_Pair]) -> bool:
        """Return if nothing but the schemas inside can make a difference. These are added to those that follow."""
        if not self._is_printed_alike(first, second):
            return False
        keywords = {keyword for keyword in first.schema if not is_silent(keyword)}
        if keywords != {keyword for keyword in second.schema if not is_silent(keyword)}:
            return False
        return all(self._is_equal(first, second, keyword, following) for keyword in keywords)

    def _is_printed_alike(self, first: Node, second: Node) -> bool:
        prints = [node.document.print_of(node.schema, self._work) for node in (first, second)]
        return prints[0] == prints[1]

    def _is_equal(self, first: Node, second: Node, keyword: str, waiting: list[_Pair]) -> bool:
        """Compare a keyword of two schemas; the schemas in it are added to those that have to be compared yet."""
        self._work.spend(1)
        if (keyword in first.schema) != (keyword in second.schema):
            return False
        if keyword not in first.schema:
            return True
        if keyword == "$ref":
            return _paired([first.target()], [second.target()], waiting)
        values = first.schema[keyword], second.schema[keyword]
        match KEYWORDS.get(keyword):
            case Form.SCHEMA:
                return _paired([first.inside(keyword)], [second.inside(keyword)], waiting)
            case Form.SCHEMAS:
                return _paired(self._listed(first, keyword), self._listed(second, keyword), waiting)
            case Form.MEMBERS:
                if values[0].keys() != values[1].keys():
                    return False
                names = list(values[0])
                inner = [[node.inside(keyword, name) for name in names] for node in (first, second)]
                return _paired(inner[0], inner[1], waiting)
        return plain_key(keyword, values[0], self._work) == plain_key(keyword, values[1], self._work)

    def _listed(self, node: Node, keyword: str) -> list[Node | bool]:
        inner = node.schemas_in(keyword)
        if keyword in _UNORDERED:
            inner.sort(key=self._sorting)
        return inner

    def _sorting(self, node: Node | bool) -> tuple[int, Any]:
        if isinstance(node, bool):
            return 0, node
        return 1, node.document.print_of(node.schema, self._work)


def _paired(
    first: list[Node | bool] | list[Node | bool | None],
    second: list[Node | bool] | list[Node | bool | None],
    waiting: list[_Pair],
) -> bool:
    """Return if two lists may be equal: they are as long, and booleans are equal. Pairs of nodes are left to do."""
    if len(first) != len(second):
        return False
    for one_side, other_side in zip(first, second, strict=True):
        if isinstance(one_side, Node) and isinstance(other_side, Node):
            waiting.append((one_side, other_side))
        elif one_side is not other_side:
            return False
    return True
