"""Items of one partition key in the order of their sort keys, so that a query reads only what it returns.

Maintains that order. Does not evaluate conditions: `select` only leaves out items that a query can neither return nor
need, and moto's own query then runs on the rest.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType, Item

_first = itemgetter(0)

# Moto's names of the comparisons, by the bound that they set. A prefix has no upper bound: moto tests it.
_FROM = {"=", "EQ", ">=", "GE", "BETWEEN", "BEGINS_WITH"}
_AFTER = {">", "GT"}
_BEFORE = {"<", "LT"}
_UP_TO = {"=", "EQ", "<=", "LE", "BETWEEN"}
_EXACT = (_FROM | _AFTER | _BEFORE | _UP_TO | {None}) - {"BEGINS_WITH"}


class OrderedPartition(dict[DynamoType, Item]):
    """A partition in order. Invariant: `_order` lists (value, key) of every key, ascending by value."""

    def __init__(self, items: Iterable[tuple[DynamoType, Item]] = ()) -> None:
        super().__init__()
        self._order: list[tuple[Any, DynamoType]] = []
        for key, item in items:
            self[key] = item

    def __setitem__(self, key: DynamoType, item: Item) -> None:
        if key not in self:
            insort(self._order, (key.cast_value, key), key=_first)
        super().__setitem__(key, item)

    def pop(self, key: DynamoType, *default: Any) -> Any:
        if key in self:
            del self._order[bisect_left(self._order, key.cast_value, key=_first)]
        return super().pop(key, *default)

    def __reduce__(self) -> Any:
        return type(self), (list(self.items()),)  # moto deep-copies the items of a restored table

    def select(
        self, comparison: str | None, values: list[Any], *, start: Any, limit: int | None, forward: bool
    ) -> dict[DynamoType, Item]:
        """Return the items in the range and past `start`: at most `limit` + 1."""
        low, high = self._low(comparison, values), self._high(comparison, values)
        if start is not None and forward:
            low = max(low, bisect_right(self._order, start, key=_first))
        if start is not None and not forward:
            high = min(high, bisect_left(self._order, start, key=_first))
        if limit and comparison in _EXACT:
            # One more than asked for: moto returns a LastEvaluatedKey only if it sees that there is more.
            if forward:
                high = min(high, low + limit + 1)
            else:
                low = max(low, high - limit - 1)
        return {key: self[key] for _, key in self._order[low:high]}

    def _low(self, comparison: str | None, values: list[Any]) -> int:
        """Return the position of the first item that the comparison allows."""
        if comparison in _FROM:
            return bisect_left(self._order, values[0], key=_first)
        if comparison in _AFTER:
            return bisect_right(self._order, values[0], key=_first)
        return 0

    def _high(self, comparison: str | None, values: list[Any]) -> int:
        """Return the position behind the last item that the comparison allows."""
        if comparison in _BEFORE:
            return bisect_left(self._order, values[0], key=_first)
        if comparison in _UP_TO:
            return bisect_right(self._order, values[-1], key=_first)
        return len(self._order)
