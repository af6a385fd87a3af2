"""Replication of tables between Regions in memory: late, and in no order across items.

A link carries only the items that the source Region itself wrote (see wire/keys.py), since no item is ever written by
two Regions. Items that expired in the source Region are also removed on the other side, whoever wrote them, as in
DynamoDB's global tables.
"""

from collections.abc import Callable
from typing import Final

from eventfabric.ports import Clock
from eventfabric.testing.memory.stream import Change, Chooser, first
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.wire.keys import Item, ledger_region_and_kind, region_of_log_item

ALL_CHANGES: Final = 2**31


def origin_of_record(keys: Item) -> str:
    """Return the Region that writes an item of a log."""
    return region_of_log_item(keys)


def writer_of_ledger_item(keys: Item) -> str:
    """Return the Region that writes an item of the ledger."""
    return ledger_region_and_kind(keys)[0]


class TableLink:
    """Replication of one table from one Region to another.

    `cut`: nothing passes. `lag_ms`: only changes that are at least this old pass.
    """

    def __init__(
        self, source: MemoryTable, target: MemoryTable, owner: Callable[[Item], str], clock: Clock
    ) -> None:
        self.source = source
        self.target = target
        self.cut = False
        self.lag_ms = 0
        self._owner = owner
        self._clock = clock
        self._reader = source.stream.reader(of=self._passes)

    @property
    def has_news(self) -> bool:
        """Tell if a change that the source itself made is waiting to pass."""
        return bool(self._reader.pending)

    def _passes(self, change: Change) -> bool:
        return change.by_expiry or self._owner(change.keys) == self.source.region

    def pass_on(self, count: int = ALL_CHANGES, choose: Chooser = first) -> int:
        """Copy up to `count` changes, in an order that keeps each item's own order. Return how many passed."""
        if self.cut:
            return 0
        until_ms = self._clock.now_ms() - self.lag_ms
        only = (lambda change: change.at_ms <= until_ms) if self.lag_ms else None
        taken = self._reader.take(count, choose, only=only)
        for change in taken:
            self.target.replicate(change)
        self._reader.confirm(taken)
        return len(taken)
