"""Ways: how often a validator may come to the same member or item of an event.

Each schema that applies in place and names a member is a way to its value, and each of the ways there may branch again:
nested three deep, two branches are eight ways. What leads back to itself is counted once, since a validator remembers
what it has found there; `recursion.py` refuses where it does not.
"""

from collections.abc import Callable
from itertools import pairwise
from re import compile as compile_pattern
from typing import Any, Final, NamedTuple

from eventfabric.contracts.graph import SchemaGraph
from eventfabric.contracts.keywords import IN_PLACE
from eventfabric.contracts.matching import matches
from eventfabric.contracts.tags import Tags, are_dispatched
from eventfabric.contracts.values import ARRAY, OBJECT

WAYS_MAX: Final = 256
"""Most ways to a member or item."""
WORK_MAX: Final = 500_000
"""Most steps in which the ways of a schema are counted."""
_UNIONS: Final = ("anyOf", "oneOf")
_CHOICES: Final = (*_UNIONS, "if", "dependentSchemas")
_UNEVALUATED: Final = ("unevaluatedItems", "unevaluatedProperties")
_OF_ITEMS: Final = frozenset(("contains", "items", "unevaluatedItems"))
_MARKED: Final = frozenset(("$ref", "then", "else", "dependentSchemas"))
_TRIED: Final = {"allOf": 1, "if": 3}
"""How often such a schema is tried again to find out which members it names."""
_LITERAL: Final = compile_pattern(r"\^([A-Za-z0-9_\-]+)(?![*?{A-Za-z0-9_\-])[^|]*")

_Schema = dict[str, Any]
_Step = str | int | None
"""A name, the index of an item, or None: any other name."""


class _Parts(NamedTuple):
    """Schemas inside a schema: those in place by their keywords, and others by their keywords and patterns."""

    in_place: list[tuple[str, _Schema]]
    members: dict[str, _Schema]
    items: dict[int, _Schema]
    others: list[tuple[str, str, _Schema]]


class TooManyWays(NamedTuple):
    """A schema at which the ways become too many. `ways` is None where they were not counted to the end."""

    schema: _Schema
    ways: int | None


def too_many_ways(graph: SchemaGraph) -> TooManyWays | None:
    """Return the first schema, from the inside, that has too many ways to a member; None if there is none."""
    return _Counter(graph).first()


class _SpentError(Exception):
    """The work is spent."""


class _Counter:
    """Counts the ways of one document, which has no circle in place."""

    def __init__(self, graph: SchemaGraph) -> None:
        self._graph = graph
        self._tags = Tags(graph.references)
        self._ways: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        self._parts: dict[int, _Parts] = {}
        self._steps: dict[int, frozenset[_Step]] = {}
        self._static: dict[int, bool] = {}
        self._known_ways: dict[tuple[int, _Step, bool], int] = {}
        self._work = 0

    def first(self) -> TooManyWays | None:
        circles: dict[int, list[_Schema]] = {}
        for key, number in self._graph.circles.items():
            circles.setdefault(number, []).append(self._graph.schemas[key])
        for number in sorted(circles, reverse=True):
            try:
                counts = [(self._count(schema), schema) for schema in circles[number]]
            except _SpentError:
                return TooManyWays(circles[number][0], None)
            count, schema = max(counts, key=lambda pair: pair[0])
            if count > WAYS_MAX:
                return TooManyWays(schema, count)
            self._ways.update((id(schema), count) for schema in circles[number])
        return None

    def _count(self, schema: _Schema) -> int:
        known = self._counts.get(id(schema))
        if known is None:
            only = self._only(schema)
            if only is None:
                known = max((self._visits(schema, step) for step in self._steps_of(schema)), default=1) or 1
            else:
                known = only[1] * self._count(only[0])
            self._counts[id(schema)] = known
        return known

    def _only(self, schema: _Schema) -> tuple[_Schema, int] | None:
        """Return the only schema by which another leads on, as a nullable one does, and how often it is tried."""
        parts = self._parts_of(schema)
        inner = [(keyword, inner) for keyword, inner in parts.in_place if self._steps_of(inner)]
        if parts.members or parts.items or parts.others or len(inner) != 1:
            return None
        if all(schema.get(keyword, True) is True for keyword in _UNEVALUATED):
            return inner[0][1], 1
        is_tried_once_more = inner[0][0] in _UNIONS and self._is_unmarked(inner[0][1])
        return (inner[0][1], 2) if is_tried_once_more else None

    def _is_unmarked(self, schema: _Schema) -> bool:
        """Return if nothing of a schema is tried again to find out what `unevaluated...` above it is for."""
        parts = self._parts_of(schema)
        return all(other[0] not in _UNEVALUATED for other in parts.others) and all(
            keyword == "$ref" and self._is_unmarked(inner) for keyword, inner in parts.in_place
        )

    def _steps_of(self, schema: _Schema) -> frozenset[_Step]:
        """Return the steps that a schema, and what applies in place with it, tells apart."""
        known = self._steps.get(id(schema))
        if known is None:
            parts = self._parts_of(schema)
            steps = set[_Step]()
            for _, inner in parts.in_place:
                steps |= self._steps_of(inner)
            steps |= {name for name, inner in parts.members.items() if self._leads_on(inner)}
            steps |= {None} if parts.members else set()
            for keyword, _, _ in parts.others:
                steps.add(len(parts.items) if keyword in _OF_ITEMS else None)
            steps |= set(range(len(parts.items)))
            largest = max(
                (self._steps_of(inner) for _, inner in parts.in_place), key=len, default=frozenset()
            )
            known = self._steps[id(schema)] = largest if largest >= steps else frozenset(steps)
            self._spend(1 + len(known) * (known is not largest))
        return known

    def _parts_of(self, schema: _Schema) -> _Parts:
        known = self._parts.get(id(schema))
        if known is None:
            known = self._parts[id(schema)] = _Parts([], {}, {}, [])
            for path, inner in self._graph.edges(schema):
                if path[0] == "$ref" or path[0] in IN_PLACE:
                    known.in_place.append((path[0], inner))
                elif path[0] == "properties":
                    known.members[path[1]] = inner
                elif path[0] == "prefixItems":
                    known.items[int(path[1])] = inner
                elif path[0] != "propertyNames":
                    known.others.append((path[0], path[-1], inner))
        return known

    def _leads_on(self, schema: _Schema) -> bool:
        """Return if a schema has members or items of its own; the others are looked at together."""
        return bool(self._steps_of(schema)) if id(schema) in self._ways else True

    def _visits(self, schema: _Schema, step: _Step) -> int:
        """Return how many ways lead from a value to the part of it at a step, and on from there."""
        return self._remembered(schema, step, self._visits_now, is_marking=False)

    def _marks(self, schema: _Schema, step: _Step) -> int:
        """Return how many more there are to find out what `unevaluated...` is for, when it stands above a schema."""
        return self._remembered(schema, step, self._marks_now, is_marking=True)

    def _remembered(
        self, schema: _Schema, step: _Step, count: Callable[[_Schema, _Step], int], *, is_marking: bool
    ) -> int:
        key = id(schema), step, is_marking
        if key not in self._known_ways:
            self._known_ways[key] = count(schema, step)
        return self._known_ways[key]

    def _visits_now(self, schema: _Schema, step: _Step) -> int:
        parts = self._parts_of(schema)
        self._spend(1 + len(parts.in_place) + len(parts.others))
        count = self._own(schema, step)
        count += sum(self._visits(inner, step) for keyword, inner in parts.in_place if keyword not in _UNIONS)
        for keyword in _UNIONS:
            count += self._of_branches(schema, keyword, step, lambda branch: self._visits(branch, step))
        keyword = "unevaluatedItems" if isinstance(step, int) else "unevaluatedProperties"
        if schema.get(keyword, True) is not True and not self._is_static(schema, keyword):
            count += self._marks(schema, step)
        return count

    def _marks_now(self, schema: _Schema, step: _Step) -> int:
        count = 0
        for keyword, inner in self._parts_of(schema).in_place:
            if keyword in _MARKED:
                count += self._marks(inner, step)
            elif keyword in _TRIED:
                count += _TRIED[keyword] * self._visits(inner, step) + self._marks(inner, step)
        for keyword in _UNIONS:
            count += self._of_branches(
                schema, keyword, step, lambda branch: self._visits(branch, step) + self._marks(branch, step)
            )
        for keyword, pattern, inner in self._parts_of(schema).others:
            if keyword.startswith("unevaluated") and self._is_for(schema, keyword, pattern, step):
                count += self._weight(schema, inner)
        return count

    def _of_branches(
        self, schema: _Schema, keyword: str, step: _Step, count: Callable[[_Schema], int]
    ) -> int:
        """Return the ways of a union: those of all branches, or the most of one if a validator tries only one."""
        branches = [branch for branch in schema.get(keyword, ()) if isinstance(branch, dict)]
        leading = [(branch, ways) for branch in branches if (ways := count(branch))]
        if len(leading) < 2:
            return sum(ways for _, ways in leading)
        is_apart = self._is_one_tried(branches, [branch for branch, _ in leading], step)
        return (max if is_apart else sum)(ways for _, ways in leading)

    def _is_one_tried(self, branches: list[_Schema], leading: list[_Schema], step: _Step) -> bool:
        """Return if a validator tries one branch, of those that lead on, with the members or items of a value."""
        kind = ARRAY if isinstance(step, int) else OBJECT
        if sum(kind in self._tags.facts(branch).kinds for branch in leading) < 2:
            return True
        return kind == OBJECT and are_dispatched([self._tags.facts(branch) for branch in branches])

    def _own(self, schema: _Schema, step: _Step) -> int:
        """Return the ways by a schema's own members and items."""
        parts = self._parts_of(schema)
        inner = parts.items.get(step) if isinstance(step, int) else parts.members.get(step or "")
        count, by_patterns = 0 if inner is None else self._weight(schema, inner), dict[str, int]()
        for keyword, pattern, other in parts.others:
            if self._is_for(schema, keyword, pattern, step):
                if keyword == "patternProperties":
                    by_patterns[pattern] = self._weight(schema, other)
                else:
                    count += self._weight(schema, other)
        return count + (max if _are_disjoint(list(by_patterns)) else sum)(by_patterns.values() or (0,))

    def _is_for(self, schema: _Schema, keyword: str, pattern: str, step: _Step) -> bool:
        """Return if one of the others may be for the value at a step."""
        if isinstance(step, int):
            first = len(schema.get("prefixItems", ()))
            return keyword in _OF_ITEMS and (keyword != "items" or step >= first)
        if keyword == "patternProperties":
            return step is None or matches(pattern, step, spend=self._spend) is not False
        return keyword not in _OF_ITEMS and (step is None or step not in schema.get("properties", {}))

    def _weight(self, schema: _Schema, inner: _Schema) -> int:
        return 1 if self._graph.is_back(schema, inner) else self._ways[id(inner)]

    def _is_static(self, schema: _Schema, keyword: str) -> bool:
        """Return if the names that a schema evaluates are the same for all values: then nothing is tried again."""
        if keyword == "unevaluatedItems":
            return False
        return not any(name in schema for name in _CHOICES) and all(
            self._is_static_below(inner) for _, inner in self._parts_of(schema).in_place
        )

    def _is_static_below(self, schema: _Schema) -> bool:
        known = self._static.get(id(schema))
        if known is None:
            known = "unevaluatedProperties" not in schema and self._is_static(schema, "unevaluatedProperties")
            self._static[id(schema)] = known
        return known

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > WORK_MAX:
            raise _SpentError


def _are_disjoint(patterns: list[str]) -> bool:
    """Return if no name matches two patterns, each of which asks for another beginning."""
    beginnings = [_LITERAL.fullmatch(pattern) for pattern in patterns]
    prefixes = sorted(match[1] for match in beginnings if match is not None)
    is_met = any(second.startswith(first) for first, second in pairwise(prefixes))
    return len(prefixes) == len(patterns) and not is_met
