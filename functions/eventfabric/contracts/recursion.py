"""Unions in circles of references: branches that may match together must not lead to the same member or item.

A validator has to try each of them, so that an event would take twice as long at each level of its depth.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from eventfabric.contracts.keywords import IN_PLACE, JsonSchema, pointer, subschemas
from eventfabric.contracts.references import References
from eventfabric.contracts.tags import Tags
from eventfabric.errors import Problem

_PAIRS_MAX: Final = 60
"""Most branches that are compared pair by pair; more have to share a tag."""
_ITEMS: Final = frozenset(("contains", "items", "prefixItems", "unevaluatedItems"))
_ANY_MEMBER: Final = frozenset(("additionalProperties", "patternProperties", "unevaluatedProperties"))
_NAMELESS: Final = ("any member",)

_UNIONS: Final = ("anyOf", "oneOf")

_DIRECT: Final = ((), ("$ref",), ("anyOf",), ("oneOf",))

_Path = tuple[str, ...]
_Steps = frozenset[_Path]


class _Ways(NamedTuple):
    """Members and items by which a schema, and what applies in place with it, leads into its circle."""

    plain: _Steps = frozenset()
    by_branches: _Steps = frozenset()

    def both(self, other: "_Ways") -> "_Ways":
        return _Ways(self.plain | other.plain, self.by_branches | other.by_branches)

    @property
    def all(self) -> _Steps:
        return self.plain | self.by_branches


def recursion_problems(root: JsonSchema) -> list[Problem]:
    """Return unions that make validation exponential. The schema has no circle in place."""
    return list(_Unions(root).problems())


class _Unions:
    """Looks for such unions in one schema."""

    def __init__(self, root: JsonSchema) -> None:
        self._references = References(root)
        self._tags = Tags(self._references)
        self._paths: dict[int, _Path] = {}
        self._schemas: dict[int, dict[str, Any]] = {}
        self._ways: dict[int, _Ways] = {}
        waiting: list[tuple[_Path, JsonSchema]] = [((), root)]
        while waiting:
            path, schema = waiting.pop()
            if isinstance(schema, dict):
                self._paths[id(schema)], self._schemas[id(schema)] = path, schema
                waiting += [((*path, *inner), value) for inner, value in subschemas(schema)]
        self._circles = self._circles_of_all()

    def problems(self) -> Iterator[Problem]:
        for key, schema in self._schemas.items():
            for keyword in _UNIONS:
                if keyword in schema and self._is_ambiguous(schema, schema[keyword]):
                    state = (
                        "branches that may match together, each of which leads back here by the same member"
                    )
                    allowed = "a required member with another 'const' in each branch"
                    yield Problem(pointer((*self._paths[key], keyword)), state, allowed)
                if keyword in schema and self._holds_a_union(schema, schema[keyword]):
                    state = "a union in a union, whose branches lead back here"
                    yield Problem(pointer((*self._paths[key], keyword)), state, "one union of all branches")
            if any(ways.by_branches for name, ways in self._parts(schema).items() if name not in _DIRECT):
                state = "a union below another keyword that applies in place, whose branches lead back here"
                yield Problem(
                    pointer(self._paths[key]), state, "the union beside the other keywords, not below one"
                )
            elif self._is_led_twice(schema):
                state = "a member that leads back here, in branches of a union and beside it"
                yield Problem(
                    pointer(self._paths[key]), state, "the member beside the union, or in it, not both"
                )

    def _is_ambiguous(self, schema: dict[str, Any], branches: list[JsonSchema]) -> bool:
        """Return if two branches that may match together lead on to the same place inside a circle."""
        circle = self._circles[id(schema)]
        leading: list[tuple[dict[str, Any], _Steps]] = []
        for branch in branches:
            if isinstance(branch, dict) and self._circles[id(branch)] == circle:
                leading.append((branch, self._ways_of(branch).all))
        if len(leading) < 2 or self._tags.are_apart([branch for branch, _ in leading]):
            return False
        if len(leading) > _PAIRS_MAX:
            return True
        required = self._tags.facts(schema).required
        return any(
            _do_meet(steps, others)
            and not self._tags.facts(branch).is_apart_from(self._tags.facts(other), required=required)
            for index, (branch, steps) in enumerate(leading)
            for other, others in leading[index + 1 :]
        )

    def _holds_a_union(self, schema: dict[str, Any], branches: list[JsonSchema]) -> bool:
        """Return if a branch holds a union that leads on: to learn which members are named, each is tried again."""
        circle = self._circles[id(schema)]
        return any(
            isinstance(branch, dict)
            and self._circles[id(branch)] == circle
            and bool(self._ways_of(branch).by_branches)
            for branch in branches
        )

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
        for path, inner in self._edges(schema):
            if self._circles[id(inner)] != self._circles[id(schema)]:
                continue
            if path[0] in _UNIONS:
                name, ways = path[:1], _Ways(by_branches=self._ways_of(inner).all)
            elif path[0] == "$ref" or path[0] in IN_PLACE:
                name, ways = path, self._ways_of(inner)
            else:
                name, ways = (), _Ways(frozenset((_step(path),)))
            parts[name] = parts.get(name, _Ways()).both(ways)
        return parts

    def _edges(self, schema: dict[str, Any]) -> Iterator[tuple[_Path, dict[str, Any]]]:
        """Yield the schemas that a schema applies, in place or inside."""
        target = self._references.target(schema)
        if isinstance(target, dict):
            yield ("$ref",), target
        for path, inner in subschemas(schema):
            if path[0] != "$defs" and isinstance(inner, dict):
                yield path, inner

    def _circles_of_all(self) -> dict[int, int]:
        """Return the number of each schema's strongly connected component: of those that lead to each other."""
        above: dict[int, list[int]] = {key: [] for key in self._schemas}
        order: list[int] = []
        seen = set[int]()
        for key in self._schemas:
            chain = [] if key in seen else [(key, self._edges(self._schemas[key]))]
            seen.add(key)
            while chain:
                current, edges = chain[-1]
                edge = next(edges, None)
                if edge is None:
                    order.append(current)
                    chain.pop()
                    continue
                following = id(edge[1])
                above[following].append(current)
                if following not in seen:
                    seen.add(following)
                    chain.append((following, self._edges(edge[1])))
        circles: dict[int, int] = {}
        for number, key in enumerate(reversed(order)):
            waiting = [key]
            while waiting:
                current = waiting.pop()
                if current not in circles:
                    circles[current] = number
                    waiting += above[current]
        return circles


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
