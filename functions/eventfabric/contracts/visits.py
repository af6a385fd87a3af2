"""Visits: how often a validator that collects errors comes by a schema with a value.

Each visit may be an error, which takes a kilobyte and a copy of the rule that it breaks; and all of them are collected
before the first can be had. Each branch of a union is a way of its own to the value's members, and each of these may
branch again. What a validator remembers while it only says yes or no, it looks at again for the texts of errors.
"""

from collections.abc import Iterator
from json import dumps
from typing import Any, Final

from eventfabric.contracts.keywords import IN_PLACE, JsonSchema, subschemas
from eventfabric.contracts.references import References

VISITS_MAX: Final = 5_000
"""Most visits of which all errors are collected."""
PAIRS_MAX: Final = 50_000
"""Most pairs of a schema and a value that are looked at."""
_RULE_CHARACTERS: Final = 200
"""A rule of so many characters counts as one visit more."""
_VALUE_CHARACTERS: Final = 1_000
_VALUES: Final = 40
"""A value of so many characters, or that holds so many others, counts as one visit more."""
_COPIED: Final = ("const", "enum", "not", "type")
_UNIONS: Final = ("anyOf", "oneOf")
_OF_ITEMS: Final = frozenset(("contains", "items", "prefixItems", "unevaluatedItems"))
_OF_OTHERS: Final = frozenset(("additionalProperties", "patternProperties", "unevaluatedProperties"))

_Pair = tuple[dict[str, Any], Any]


class VisitCounter:
    """Counts the visits of one schema."""

    def __init__(self, root: JsonSchema) -> None:
        self._root = root
        self._references = References(root)
        self._weights: dict[int, int] = {}

    def are_few(self, value: object) -> bool:
        """Return if collecting all errors of a decoded value takes a bounded time and memory."""
        return isinstance(self._root, bool) or self._has_few(self._root, value, {}, _Sizes())

    def are_few_in_unions(self, value: object) -> bool:
        """Return if that is so of each union by itself: a validator that stops at an error collects those of one."""
        waiting: list[_Pair] = [] if isinstance(self._root, bool) else [(self._root, value)]
        sizes = _Sizes()
        seen, counts = set[tuple[int, int]](), dict[tuple[int, int], int]()
        while waiting:
            pair = waiting.pop()
            if _key(pair) in seen:
                continue
            seen.add(_key(pair))
            if any(keyword in pair[0] for keyword in _UNIONS):
                if not self._has_few(*pair, counts, sizes):
                    return False
            else:
                waiting += (inner for inner in self._inner(*pair) if isinstance(inner[1], dict | list))
            if len(seen) + len(counts) + len(waiting) > PAIRS_MAX:
                return False
        return True

    def _has_few(
        self, schema: dict[str, Any], value: object, counts: dict[tuple[int, int], int], sizes: "_Sizes"
    ) -> bool:
        """Return if there are few visits beneath a schema and a value. `counts`: of pairs that were counted before."""
        top = schema, value
        if _key(top) in counts:
            return counts[_key(top)] <= VISITS_MAX
        counts[_key(top)] = self._weight(schema) + sizes.of(value)
        chain = [(top, self._inner(schema, value))]
        while chain:
            above, following = chain[-1]
            pair = next(following, None)
            if pair is None:
                chain.pop()
                if chain:
                    counts[_key(chain[-1][0])] += counts[_key(above)]
            elif _key(pair) in counts:
                counts[_key(above)] += counts[_key(pair)]
            else:
                counts[_key(pair)] = self._weight(pair[0]) + sizes.of(pair[1])
                chain.append((pair, self._inner(*pair)))
            if counts[_key(above)] > VISITS_MAX:
                return False
        return True

    def _weight(self, schema: dict[str, Any]) -> int:
        weight = self._weights.get(id(schema))
        if weight is None:
            rules = [schema[keyword] for keyword in _COPIED if keyword in schema]
            weight = 1 + sum(len(dumps(rule)) for rule in rules) // _RULE_CHARACTERS
            self._weights[id(schema)] = weight
        return weight

    def _inner(self, schema: dict[str, Any], value: Any) -> Iterator[_Pair]:
        """Yield what is visited directly from a schema and a value."""
        target = self._references.target(schema)
        if isinstance(target, dict):
            yield target, value
        for path, inner in subschemas(schema):
            if isinstance(inner, dict):
                for part in _parts(path, value):
                    yield inner, part


class _Sizes:
    """Sizes of the values of one event, in visits: an error has a copy of the value."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def of(self, value: Any) -> int:
        if isinstance(value, str):
            return len(value) // _VALUE_CHARACTERS
        return self._count(value) // _VALUES if isinstance(value, dict | list) else 0

    def _count(self, value: Any) -> int:
        """Return how many values an object or a list holds. They are nested less deep than Python calls itself."""
        if isinstance(value, str):
            return 1 + len(value) // _VALUES
        if not isinstance(value, dict | list):
            return 1
        known = self._known.get(id(value))
        if known is None:
            known = sum(map(self._count, value.values() if isinstance(value, dict) else value)) + len(value)
            self._known[id(value)] = known
        return known


def _parts(path: tuple[str, ...], value: Any) -> Iterator[Any]:
    """Yield the values that a schema at a path inside another is for, or may be for."""
    keyword = path[0]
    if keyword in IN_PLACE:
        yield value
    elif isinstance(value, list):
        if keyword in _OF_ITEMS:
            yield from value
    elif not isinstance(value, dict):
        return
    elif keyword == "properties":
        if path[1] in value:
            yield value[path[1]]
    elif keyword == "propertyNames":
        yield from value
    elif keyword in _OF_OTHERS:
        yield from value.values()


def _key(pair: _Pair) -> tuple[int, int]:
    return id(pair[0]), id(pair[1])
