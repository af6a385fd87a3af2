"""Places of documents as a writer's schema describes them, taken apart into pieces: one kind of value, one branch each.

A place is the set of schemas that apply there. Its pieces cover all that the closed schema lets through, and may cover
more where a schema says what pieces cannot (`not`, `if`, branches that may match together); then they are inexact.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from eventfabric.contracts.closing import Naming
from eventfabric.contracts.difference import TooMuchWorkError, Work
from eventfabric.contracts.nodes import Node, SchemaNodes
from eventfabric.contracts.ranges import Ranges
from eventfabric.contracts.values import KINDS, OBJECT, kind_of, kinds_of_type

Place = frozenset[Node]
"""The schemas that apply at a place. None applies: any value may be there."""
ANYWHERE: Final[Place] = frozenset()
_BRANCHES_MAX: Final = 1_000
_PAIRS_MAX: Final = 60


@dataclass(frozen=True)
class PlacePart:
    """One schema of a place, taken apart: the schemas that hold with it, and those that may, and name members then."""

    nodes: tuple[Node, ...]
    beside: tuple[Node, ...] = ()
    is_closed: bool = False


@dataclass(frozen=True, eq=False)
class Piece:
    """Values of one kind at a place. A piece is equal to itself only."""

    kind: str
    parts: tuple[PlacePart, ...]
    is_exact: bool

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All schemas that hold."""
        return tuple(node for part in self.parts for node in part.nodes)

    @cached_property
    def ranges(self) -> Ranges:
        """The values, as far as bounds and lists of constants describe them."""
        return Ranges(self.kind, self.nodes)

    @cached_property
    def required(self) -> frozenset[str]:
        """Names of the members that every object has."""
        return frozenset(name for node in self.nodes for name in node.schema.get("required", ()))

    def has(self, *keywords: str) -> bool:
        """Return if a schema has one of some keywords."""
        return any(keyword in node.schema for node in self.nodes for keyword in keywords)


@dataclass(frozen=True)
class _Branch:
    nodes: tuple[Node, ...] = ()
    beside: tuple[Node, ...] = ()
    is_exact: bool = True

    def both(self, other: "_Branch") -> "_Branch":
        return _Branch(self.nodes + other.nodes, self.beside + other.beside, self.is_exact and other.is_exact)


class Pieces:
    """Takes places apart."""

    def __init__(self, document: SchemaNodes, work: Work, *, closes: bool) -> None:
        self._closes = closes
        self._work = work
        self._naming = Naming(document.references)
        self._document = document
        self._known: dict[tuple[Node, str], list[_Branch]] = {}
        self._constants: dict[Hashable, Node] = {}
        self._places: dict[tuple[Place, str, bool], list[Piece]] = {}
        self._narrowed: dict[tuple[Piece, Node], Piece] = {}
        self._apart: dict[Node, bool] = {}
        self.conditions: set[Node] = set()
        self._kept: list[Any] = []

    def of(self, place: Place, *, is_exact: bool = True) -> list[Piece]:
        """Return the pieces of a place; inexact ones, if more may apply there than the place says."""
        result: list[Piece] = []
        for kind in KINDS:
            key = place, kind, is_exact
            if key not in self._places:
                self._places[key] = self._of_kind(place, kind, is_exact=is_exact)
            result += self._places[key]
        return result

    def narrowed(self, piece: Piece, node: Node) -> Piece:
        """Return the values of a piece that a schema accepts too."""
        known = self._narrowed.get((piece, node))
        if known is None:
            known = Piece(piece.kind, (*piece.parts, PlacePart((node,))), piece.is_exact)
            self._narrowed[piece, node] = known
        return known

    def constant(self, key: Hashable, value: Any, member: str | None = None) -> Node:
        """Return a schema of one value, or of objects in which one member has it."""
        known = self._constants.get((key, member))
        if known is None:
            schema: dict[str, Any] = (
                {"const": value} if member is None else {"properties": {member: {"const": value}}}
            )
            if member is None and isinstance(value, dict):
                schema["properties"] = {name: {"const": inner} for name, inner in value.items()}
                schema |= {"required": [*value], "additionalProperties": False}
            elif member is None and isinstance(value, list):
                schema["prefixItems"] = [{"const": item} for item in value]
                schema |= {"minItems": len(value), "maxItems": len(value)}
            self._kept.append(schema)
            node = self._document.node((), schema)
            assert isinstance(node, Node)
            known = self._constants[key, member] = node
        return known

    def _of_kind(self, place: Place, kind: str, *, is_exact: bool) -> list[Piece]:
        combined: list[tuple[tuple[PlacePart, ...], bool]] = [((), is_exact)]
        for root in sorted(place, key=lambda node: node.path):
            is_closed = self._closes and kind == OBJECT and self._naming.is_closed_here(root.schema)
            parts = [
                (PlacePart(branch.nodes, branch.beside, is_closed), branch.is_exact)
                for branch in self._branches(root, kind)
            ]
            self._bound(len(combined) * len(parts))
            combined = [
                ((*before, part), is_before_exact and is_part_exact)
                for before, is_before_exact in combined
                for part, is_part_exact in parts
            ]
        return [Piece(kind, parts, is_piece_exact) for parts, is_piece_exact in combined]

    def _branches(self, node: Node, kind: str) -> list[_Branch]:
        """Return the branches of a schema that accept a kind of value."""
        known = self._known.get((node, kind))
        if known is None:
            is_accepted = _accepts(node, kind)
            self._work.spend(is_accepted)
            known = self._known[node, kind] = self._taken_apart(node, kind) if is_accepted else []
        return known

    def _taken_apart(self, node: Node, kind: str) -> list[_Branch]:
        result = [_Branch((node,), is_exact="not" not in node.schema)]
        target = node.target()
        for inner in ([] if target is None else [target]) + node.schemas_in("allOf"):
            result = self._product(result, self._inner(inner, kind))
        if "anyOf" in node.schema:
            result = self._product(result, self._any_of(node, kind))
        if "oneOf" in node.schema:
            result = self._product(result, self._one_of(node, kind))
        if "if" in node.schema and ("then" in node.schema or "else" in node.schema):
            result = self._product(result, self._condition(node, kind))
        elif "if" in node.schema:
            result = self._product(result, [_Branch((), self._conditions(node.inside("if")))])
        if kind == OBJECT:
            for name in node.schema.get("dependentSchemas", ()):
                beside = self._all_in_place(node.inside("dependentSchemas", name))
                result = self._product(result, [_Branch((), beside, is_exact=False)])
        return result

    def _inner(self, node: Node | bool, kind: str) -> list[_Branch]:
        if isinstance(node, bool):
            return [_Branch()] if node else []
        return self._branches(node, kind)

    def _any_of(self, node: Node, kind: str) -> list[_Branch]:
        """Return the branches of a union: beside each are those that may match too, and name members then."""
        options = node.schemas_in("anyOf")
        result: list[_Branch] = []
        for option in options:
            branches = self._inner(option, kind)
            if branches and kind == OBJECT:
                others = self._not_apart(option, options, node, kind)
                beside = tuple(inner for other in others for inner in self._all_in_place(other))
                self._work.spend(len(beside) // 10)
                branches = [branch.both(_Branch((), beside)) for branch in branches]
            result += branches
        return result

    def _one_of(self, node: Node, kind: str) -> list[_Branch]:
        """Return the branches of a union of which one alone may match; inexact if that is a rule of its own."""
        options = node.schemas_in("oneOf")
        result: list[_Branch] = []
        for option in options:
            branches = self._inner(option, kind)
            is_exact = not (branches and self._not_apart(option, options, node, kind))
            result += [branch.both(_Branch(is_exact=is_exact)) for branch in branches]
        return result

    def _not_apart(
        self, option: Node | bool, options: list[Node | bool], node: Node, kind: str
    ) -> list[Node | bool]:
        """Return the other options that may match together with one."""
        if len(options) > _PAIRS_MAX and self._share_a_tag(node, options):
            return []
        self._work.spend(len(options) // 4)
        required = node.facts.required
        return [
            other
            for other in options
            if other is not option
            and other is not False
            and not (
                isinstance(option, Node)
                and isinstance(other, Node)
                and option.facts.is_apart_from(other.facts, kind=kind, required=required)
            )
        ]

    def _share_a_tag(self, node: Node, options: list[Node | bool]) -> bool:
        """Return if a constant tells all of many options apart."""
        known = self._apart.get(node)
        if known is None:
            self._work.spend(len(options))
            schemas = [other if isinstance(other, bool) else other.schema for other in options]
            known = self._apart[node] = self._document.tags.are_apart(schemas)
        return known

    def _condition(self, node: Node, kind: str) -> list[_Branch]:
        """Return two branches: `then` holds, and `if` may name members; or `else` holds."""
        condition = node.inside("if")
        then, other = ([_Branch()], [_Branch()])
        if "then" in node.schema:
            then = self._inner(node.inside("then"), kind)
        if "else" in node.schema:
            other = self._inner(node.inside("else"), kind)
        named = [_Branch((), self._conditions(condition), is_exact=False)]
        result = [] if condition is False else self._product(named, then)
        return result if condition is True else [*result, *self._product([_Branch(is_exact=False)], other)]

    def _conditions(self, node: Node | bool) -> tuple[Node, ...]:
        """Return all schemas of a condition. They are not closed: what members that they name hold is not known."""
        nodes = self._all_in_place(node)
        self.conditions.update(nodes)
        return nodes

    def _product(self, first: list[_Branch], second: list[_Branch]) -> list[_Branch]:
        self._bound(len(first) * len(second))
        return [one_side.both(other_side) for one_side in first for other_side in second]

    def _bound(self, count: int) -> None:
        self._work.spend(count // 4)
        if count > _BRANCHES_MAX:
            raise TooMuchWorkError

    def _all_in_place(self, node: Node | bool) -> tuple[Node, ...]:
        """Return all schemas that apply in place with a schema, in any case."""
        if isinstance(node, bool):
            return ()
        self._work.spend(1)
        target = node.target()
        inner = [] if target is None else [target]
        for keyword in ("allOf", "anyOf", "oneOf"):
            inner += node.schemas_in(keyword)
        inner += [node.inside(keyword) for keyword in ("then", "else") if keyword in node.schema]
        inner += [node.inside("dependentSchemas", name) for name in node.schema.get("dependentSchemas", ())]
        conditions = self._conditions(node.inside("if")) if "if" in node.schema else ()
        return (node, *conditions, *(below for part in inner for below in self._all_in_place(part)))


def _accepts(node: Node, kind: str) -> bool:
    """Return if a schema may accept a kind of value, as far as its own type and constants say."""
    if kind not in kinds_of_type(node.schema.get("type")):
        return False
    return node.listed is None or any(kind_of(value) == kind for value in node.listed.values())
