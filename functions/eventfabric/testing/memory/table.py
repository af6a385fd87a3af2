"""One DynamoDB table of one Region: conditional writes, queries in sort order, expiry, a stream of changes.

Takes requests in DynamoDB's own format. Transactions are in region.py, replication is in cloud.py.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

from eventfabric import limits
from eventfabric.errors import RefusedError
from eventfabric.ports import Clock
from eventfabric.testing.memory.expressions import (
    AttributeValue,
    InvalidUpdateError,
    check_names,
    comparable,
    equal,
    holds,
    updated,
)
from eventfabric.testing.memory.refusals import Refuser, refusal, refuse_nothing
from eventfabric.testing.memory.stream import Change, MemoryStream
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.keys import PK, SK, Item

Key = tuple[Any, ...]
"""Key of an item in sortable form."""
_PAGE_BYTES_MAX = 1024 * 1024


class ConditionFailedError(Exception):
    """A condition did not hold. `item` is the stored item, if the request asked for it."""

    def __init__(self, item: Item | None) -> None:
        self.item = item
        super().__init__("the conditional request failed")


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """Effect that one write would have: the key, the item before and after, or the code of its refusal."""

    key: Key
    old: Item | None
    new: Item | None
    refused: str | None = None
    message: str = ""
    returned: Item | None = None


class MemoryTable:
    """A table, with the names of its key attributes. Invariant: items that are handed out are copies.

    `refuser` decides which calls are refused without effect, for example by throttling or because of another
    transaction. `stale_ms`: an eventually consistent read sees nothing of the last `stale_ms` milliseconds.

    `hidden`: items, by key, as reads still see them while a transaction that has changed them is under way. For a
    Query, consistent or not, the items of a transaction change one by one. `has_transactions`: it may take part in
    them, as strongly consistent global tables may not.
    """

    def __init__(
        self, name: str, *, clock: Clock, region: str = "", key_names: tuple[str, ...] = (PK, SK)
    ) -> None:
        self.name = name
        self.region = region
        self.stream = MemoryStream()
        self.refuser: Refuser = refuse_nothing
        self.stale_ms = 0
        self.has_transactions = True
        self.hidden: dict[Key, Item | None] = {}
        self._clock = clock
        self._key_names = key_names
        self._items: dict[Key, Item] = {}
        self._order: dict[Any, list[Key]] = {}
        self._sizes: dict[Key, tuple[Item, int]] = {}

    @property
    def items(self) -> list[Item]:
        """Every item, in key order. For tests and drivers; no request to DynamoDB returns this."""
        return [_copy(self._items[key]) for keys in self._order.values() for key in keys]

    def get(self, key: Item, *, consistent: bool) -> Item | None:
        """Return the item of a key, or None. ThrottledError."""
        sought = self.key_of(key)
        self._let_through("GetItem", sought)
        item = self._read({sought}, consistent=consistent).get(sought)
        return None if item is None else _copy(item)

    def query(
        self,
        partition: AttributeValue,
        *,
        consistent: bool,
        start: AttributeValue | None = None,
        end: AttributeValue | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> tuple[list[Item], bool]:
        """Return a partition's items in sort order, from `start` on and before `end`; and if more may follow.

        As in DynamoDB, more may follow whenever the limit was reached, even if no item is left. ThrottledError.
        """
        hash_key = comparable(partition)
        self._let_through("Query", (hash_key,))
        items, keys = self._items_of(hash_key, consistent=consistent)
        if start is not None:
            keys = keys[bisect_left(keys, (hash_key, comparable(start))) :]
        if end is not None:
            keys = keys[: bisect_left(keys, (hash_key, comparable(end)))]
        in_order = ((key, items[key]) for key in (reversed(keys) if newest_first else keys))
        return self._page(in_order, limit)

    def _items_of(self, hash_key: Any, *, consistent: bool) -> tuple[Mapping[Key, Item], list[Key]]:
        """Return what a read sees of a partition: items by key (and maybe others), and its keys in sort order."""
        keys = self._order.get(hash_key, [])
        differing = {key for key in self.hidden if key[0] == hash_key}
        differing |= {change.key for change in self._unseen(consistent) if change.key[0] == hash_key}
        if not differing:
            return self._items, keys
        items = self._read({*keys, *differing}, consistent=consistent)
        return items, sorted(items)

    def _page(self, items: Iterable[tuple[Key, Item]], limit: int | None) -> tuple[list[Item], bool]:
        """Return copies of the items that fit into one reply, at least one, and if more may follow."""
        page: list[Item] = []
        size = 0
        for key, item in items:
            size += self._size_of(key, item)
            if len(page) == limit or (page and size > _PAGE_BYTES_MAX):
                return page, True
            page.append(_copy(item))
        return page, len(page) == limit

    def _size_of(self, key: Key, item: Item) -> int:
        """Return the size of an item, which is read far more often than written."""
        known = self._sizes.get(key)
        if known is None or known[0] is not item:
            known = self._sizes[key] = item, item_bytes(item)
        return known[1]

    def write(self, action: str, request: Mapping[str, Any]) -> None:
        """Make a Put, Update or Delete, or change nothing.

        ConditionFailedError. ThrottledError. RefusedError if the request itself is wrong.
        """
        plan = self.plan(action, request)
        self._let_through(action, plan.key)
        if plan.refused == "ConditionalCheckFailed":
            raise ConditionFailedError(plan.returned)
        if plan.refused:
            raise RefusedError(action, f"{plan.refused}: {plan.message}")
        self.apply(plan)

    def plan(self, action: str, request: Mapping[str, Any]) -> PlannedWrite:
        """Return what the request would do now; change nothing. RefusedError if it is wrong whatever the items are."""
        if action not in ("Put", "Update", "Delete", "ConditionCheck"):
            raise RefusedError(action, "ValidationException: no such action")
        check_names(request)
        key = self.key_of(request["Item"] if action == "Put" else request["Key"])
        old = self._items.get(key)
        refused = partial(PlannedWrite, key, old, old)
        if not holds(request, old or {}):
            wanted = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            returned = _copy(old) if wanted and old else None
            return refused("ConditionalCheckFailed", "The conditional request failed", returned)
        try:
            new = self._after(action, request, old)
        except InvalidUpdateError as error:
            return refused("ValidationError", str(error))
        if new is not None and item_bytes(new) > limits.ITEM_BYTES_MAX:
            return refused("ValidationError", "Item size has exceeded the maximum allowed size")
        return PlannedWrite(key, old, new)

    def apply(self, plan: PlannedWrite, *, by_expiry: bool = False) -> None:
        """Carry out a plan. A change that changes nothing does not appear in the stream."""
        old, new = self._items.get(plan.key), plan.new
        self.hidden.pop(plan.key, None)
        if _is_same(old, new):
            return
        self._store(plan.key, new)
        whole = new or old or {}
        keys = {name: whole[name] for name in self._key_names}
        number, now_ms = len(self.stream.changes) + 1, self._clock.now_ms()
        self.stream.changes.append(
            Change(number, now_ms, plan.key, keys, old, new and _copy(new), self.name, self.region, by_expiry)
        )

    def _store(self, key: Key, item: Item | None) -> None:
        order = self._order.setdefault(key[0], [])
        if item is None:
            order.remove(key)
            del self._items[key]
            self._sizes.pop(key, None)
            return
        is_new = key not in self._items
        self._items[key] = _copy(item)
        if is_new:
            insort(order, key)  # last, because threads of tests may be reading meanwhile

    def expire(self, attribute: str, now_seconds: int) -> int:
        """Remove expired items, as the service does in the background. Return how many."""
        expired = [
            key
            for key, item in self._items.items()
            if attribute in item and int(item[attribute]["N"]) < now_seconds
        ]
        for key in expired:
            self.apply(PlannedWrite(key, self._items[key], None), by_expiry=True)
        return len(expired)

    def replicate(self, change: Change) -> None:
        """Apply another Region's change of an item, whatever is stored here: the last writer wins."""
        self.apply(PlannedWrite(change.key, self._items.get(change.key), change.new))

    def _let_through(self, action: str, key: Key) -> None:
        code = self.refuser(action, key)
        if code is not None:
            raise refusal(code, action, self.name)

    def _unseen(self, is_consistent: bool) -> list[Change]:
        """Return the changes that a read does not see yet, newest first."""
        if is_consistent or not self.stale_ms:
            return []
        since_ms = self._clock.now_ms() - self.stale_ms
        return list(takewhile(lambda change: change.at_ms > since_ms, reversed(self.stream.changes)))

    def _read(self, keys: set[Key], *, consistent: bool) -> dict[Key, Item]:
        """Return the items of these keys, as they are; if not `consistent`, as they were `stale_ms` ago."""
        items = {key: self._items[key] for key in keys if key in self._items}
        older = [(change.key, change.old) for change in self._unseen(consistent)]
        for key, old in [*self.hidden.items(), *older]:
            if key in keys:
                items.pop(key, None)
                if old is not None:
                    items[key] = old
        return items

    def key_of(self, item: Item) -> Key:
        """Return an item's key in sortable form. RefusedError if a key attribute is missing or empty."""
        try:
            key = tuple(comparable(item[name]) for name in self._key_names)
        except (KeyError, ValueError) as error:
            raise RefusedError("write", f"ValidationException: the key {error} is missing") from error
        if any(part in ("", b"") for part in key):
            raise RefusedError("write", "ValidationException: a key attribute is empty")
        return key

    def _after(self, action: str, request: Mapping[str, Any], old: Item | None) -> Item | None:
        if action == "Put":
            return dict(request["Item"])
        if action == "Delete":
            return None
        if action == "ConditionCheck":
            return old
        new = updated(request, old if old is not None else dict(request["Key"]))
        if any(not equal(new.get(name), request["Key"][name]) for name in self._key_names):
            raise RefusedError("write", "ValidationException: a key attribute cannot be updated")
        return new


def _is_same(old: Item | None, new: Item | None) -> bool:
    if old is None or new is None:
        return old is new
    return old == new or (old.keys() == new.keys() and all(equal(old[name], new[name]) for name in old))


def _copy(item: Item) -> Item:
    """Copy an item, but not the values of its attributes: everybody replaces them, and changes none in place."""
    return dict(item)
