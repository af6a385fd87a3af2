"""Unions in circles of references: branches that may match together must not lead to the same member or item.

A validator has to try each of them, so that an event would take twice as long at each level of its depth.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from eventfabric.contracts.graph import SchemaGraph
from eventfabric.contracts.keywords import IN_PLACE, JsonSchema, pointer
from eventfabric.contracts.tags import Tags
from eventfabric.errors import Problem

_PAIRS_MAX: Final = 60
"""Most branches that are compared pair by pair; more have to share a tag."""
_ITEMS: Final = frozenset(("contains", "items", "prefixItems", "unevaluatedItems"))
_ANY_MEMBER: Final = frozenset(("additionalProperties", "patternProperties", "unevaluatedProperties"))
_NAMELESS: Final = ("any member",)
_STEPS_MAX: Final = 300
"""Most members by which a schema leads into its circle and which are told apart."""
_ALL_STEPS: Final = frozenset((_NAMELESS, ("items",)))

_UNIONS: Final = ("anyOf", "oneOf")

_CHOICES: Final = (*_UNIONS, "if")

_DIRECT: Final = ((), ("$ref",), ("anyOf",), ("oneOf",))

_Path = tuple[str, ...]
_Steps = frozenset[_Path]


class _Ways(NamedTuple):
    """Members and items by which a schema, and what applies in place with it, leads into its circle."""

    plain: _Steps = frozenset()
    by_branches: _Steps = frozenset()

    def both(self, other: "_Ways") -> "_Ways":
        return _Ways(_union(self.plain, other.plain), _union(self.by_branches, other.by_branches))

    @property
    def all(self) -> _Steps:
        return _union(self.plain, self.by_branches)


def recursion_problems(graph: SchemaGraph) -> list[Problem]:
    """Return unions that make validation exponential. The schema has no circle in place."""
    return list(_Unions(graph).problems())


class _Unions:
    """Looks for such unions in one schema."""

    def __init__(self, graph: SchemaGraph) -> None:
        self._graph = graph
        self._tags = Tags(graph.references)
        self._ways: dict[int, _Ways] = {}
        self._with_unions = {
            graph.circles[key]
            for key, schema in graph.schemas.items()
            for path, inner in graph.edges(schema)
            if path[0] in _CHOICES and graph.is_back(schema, inner)
        }

    def problems(self) -> Iterator[Problem]:
        for key, schema in self._graph.schemas.items():
            path = self._graph.paths[key]
            for keyword in _UNIONS:
                if keyword in schema and self._is_ambiguous(schema, schema[keyword]):
                    state = (
                        "branches that may match together, each of which leads back here by the same member"
                    )
                    allowed = "a required member with another 'const' in each branch"
                    yield Problem(pointer((*path, keyword)), state, allowed)
                if keyword in schema and self._holds_a_union(schema, schema[keyword]):
                    state = "a union in a union, whose branches lead back here"
                    yield Problem(pointer((*path, keyword)), state, "one union of all branches")
            if any(ways.by_branches for name, ways in self._parts(schema).items() if name not in _DIRECT):
                state = "a union below another keyword that applies in place, whose branches lead back here"
                yield Problem(pointer(path), state, "the union beside the other keywords, not below one")
            elif self._is_led_twice(schema):
                state = "a member that leads back here, in branches of a union and beside it"
                yield Problem(pointer(path), state, "the member beside the union, or in it, not both")
            elif self._is_tried_by_others(schema):
                state = "'unevaluated...' that leads back here, in a circle with a union"
                yield Problem(
                    pointer(path), state, "'additionalProperties' or 'items', which name what they are for"
                )

    def _is_tried_by_others(self, schema: dict[str, Any]) -> bool:
        """Return if what no other keyword evaluates leads back through a union, which no validator remembers."""
        return self._graph.circles[id(schema)] in self._with_unions and any(
            path[0].startswith("unevaluated") and self._graph.is_back(schema, inner)
            for path, inner in self._graph.edges(schema)
        )

    def _is_ambiguous(self, schema: dict[str, Any], branches: list[JsonSchema]) -> bool:
        """Return if two branches that may match together lead on to the same place inside a circle."""
        leading = self._leading(schema, branches)
        if len(leading) < 2 or self._tags.are_apart(leading, beside=schema):
            return False
        if len(leading) > _PAIRS_MAX:
            return True
        beside = self._tags.facts(schema)
        known = [(self._tags.facts(branch).both(beside), self._ways_of(branch).all) for branch in leading]
        return any(
            _do_meet(steps, others) and not facts.is_apart_from(other)
            for index, (facts, steps) in enumerate(known)
            for other, others in known[index + 1 :]
        )

    def _leading(self, schema: dict[str, Any], branches: list[JsonSchema]) -> list[dict[str, Any]]:
        """Return the branches that lead on inside a circle."""
        return [
            branch for branch in branches if isinstance(branch, dict) and self._graph.is_back(schema, branch)
        ]

    def _holds_a_union(self, schema: dict[str, Any], branches: list[JsonSchema]) -> bool:
        """Return if a branch of several holds a union that leads on: to learn what is named, each is tried again."""
        leading = self._leading(schema, branches)
        return len(leading) > 1 and any(bool(self._ways_of(branch).by_branches) for branch in leading)

    def _is_led_twice(self, schema: dict[str, Any]) -> bool:
        """Return if branches of a union, and what holds with them, lead to the same place in a circle."""
        parts = list(self._parts(schema).values())
        return any(
            first is not second and _do_meet(first.by_branches, second.all)
            for first in parts
            if first.by_branches
            for second in parts
        )

    def _ways_of(self, schema: dict[str, Any]) -> _Ways:
        known = self._ways.get(id(schema))
        if known is None:
            known = _Ways()
            for part in self._parts(schema).values():
                known = known.both(part)
            self._ways[id(schema)] = known
        return known

    def _parts(self, schema: dict[str, Any]) -> dict[_Path, _Ways]:
        """Return the ways of all that holds together: a schema's own members, its unions, and what else applies."""
        parts: dict[_Path, _Ways] = {}
        for path, inner in self._graph.edges(schema):
            if self._graph.circles[id(inner)] != self._graph.circles[id(schema)]:
                continue
            if path[0] in _UNIONS:
                name, ways = path[:1], _Ways(by_branches=self._ways_of(inner).all)
            elif path[0] == "$ref" or path[0] in IN_PLACE:
                name, ways = path, self._ways_of(inner)
            else:
                name, ways = (), _Ways(frozenset((_step(path),)))
            parts[name] = parts.get(name, _Ways()).both(ways)
        return parts


def _union(first: _Steps, second: _Steps) -> _Steps:
    """Return the steps of both, as few objects as can be: a hundred thousand schemas may have the same ones."""
    if not second or first >= second:
        return first
    both = second if not first or second >= first else first | second
    return both if len(both) <= _STEPS_MAX else _ALL_STEPS


def _step(path: _Path) -> _Path:
    if path[0] in _ITEMS:
        return ("items",)
    return _NAMELESS if path[0] in _ANY_MEMBER else path


def _do_meet(first: _Steps, second: _Steps) -> bool:
    """Return if two schemas lead to the same member or item."""
    if first & second:
        return True
    return any(
        _NAMELESS in one_side and any(step[0] == "properties" for step in other_side)
        for one_side, other_side in ((first, second), (second, first))
    )
