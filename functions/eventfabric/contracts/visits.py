"""Visits: how often a validator that collects all errors comes by the same schema with the same value.

Each branch of a union is a way of its own to the value's members, and each of these may branch again. What a validator
remembers while it only says yes or no, it looks at again for the texts of errors: twice as often at each level.
"""

from collections.abc import Iterator
from typing import Any, Final

from eventfabric.contracts.keywords import IN_PLACE, JsonSchema, subschemas
from eventfabric.contracts.references import References

REPEATS_MAX: Final = 2_000
"""Most visits that repeat another one."""
PAIRS_MAX: Final = 200_000
"""Most pairs of a schema and a value that are looked at."""
_OF_ITEMS: Final = frozenset(("contains", "items", "prefixItems", "unevaluatedItems"))
_OF_OTHERS: Final = frozenset(("additionalProperties", "patternProperties", "unevaluatedProperties"))

_Pair = tuple[dict[str, Any], Any]


class VisitCounter:
    """Counts the visits of one schema."""

    def __init__(self, root: JsonSchema) -> None:
        self._root = root
        self._references = References(root)

    def are_few(self, value: object) -> bool:
        """Return if collecting all errors of a decoded value takes a bounded time and memory."""
        if isinstance(self._root, bool) or not isinstance(value, dict | list):
            return True
        counts = {(id(self._root), id(value)): 1}
        chain = [((self._root, value), self._inner(self._root, value))]
        repeats = 0
        while chain:
            (schema, part), following = chain[-1]
            pair = next(following, None)
            if pair is None:
                chain.pop()
                if chain:
                    above = chain[-1][0]
                    counts[_key(above)] += counts[_key((schema, part))]
            elif _key(pair) in counts:
                repeats += counts[_key(pair)]
                counts[_key((schema, part))] += counts[_key(pair)]
            else:
                counts[_key(pair)] = 1
                chain.append((pair, self._inner(*pair)))
            if repeats > REPEATS_MAX or len(counts) > PAIRS_MAX:
                return False
        return True

    def _inner(self, schema: dict[str, Any], value: Any) -> Iterator[_Pair]:
        """Yield what is visited directly from a schema and a value. Values that hold no others count for nothing."""
        target = self._references.target(schema)
        if isinstance(target, dict):
            yield target, value
        for path, inner in subschemas(schema):
            if isinstance(inner, dict):
                yield from ((inner, part) for part in _parts(path, value) if isinstance(part, dict | list))


def _parts(path: tuple[str, ...], value: Any) -> Iterator[Any]:
    """Yield the values that a schema at a path inside another is for, or may be for."""
    keyword = path[0]
    if keyword in IN_PLACE:
        yield value
    elif isinstance(value, list):
        if keyword in _OF_ITEMS:
            yield from value
    elif keyword == "properties":
        if path[1] in value:
            yield value[path[1]]
    elif keyword in _OF_OTHERS:
        yield from value.values()


def _key(pair: _Pair) -> tuple[int, int]:
    return id(pair[0]), id(pair[1])
