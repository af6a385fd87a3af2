"""Backfills on a table in memory, with the items and conditions that are used on AWS."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from eventfabric.model import Lane, Region, SequenceNumber, next_count
from eventfabric.model.backfill import Backfill, SliceProgress, SliceStart
from eventfabric.ports import UnreadableItem, insist
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table import ConditionFailedError
from eventfabric.testing.memory.table_client import TableClient
from eventfabric.wire import backfill_item
from eventfabric.wire.keys import Item, backfill_key, backfills_key, slice_key, slices_key
from eventfabric.wire.ledger_commit import unchanged


class MemoryBackfills:
    """ports.Backfills on the ledger of one Region."""

    def __init__(self, region: MemoryRegion, table: str, *, requests: Requests | None = None) -> None:
        self._table = TableClient(region.table(table), requests or Requests())
        self._region = Region(region.name)

    def all(self, *, unreadable: UnreadableItem = insist) -> list[Backfill]:
        """See ports.Backfills. One query for each page."""
        items, more = list[Item](), True
        while more:
            start = items[-1]["sk"] if items else None
            page, more = self._table.query(backfills_key(), start=start)
            items += page[1:] if items else page
        return backfill_item.backfills_of(items, unreadable)

    def find(self, backfill_id: str) -> Backfill | None:
        """See ports.Backfills. One get."""
        item = self._table.get(backfill_key(backfill_id, self._region))
        return backfill_item.from_item(item) if item else None

    def replace(self, read: Backfill | None, to: Backfill) -> Backfill | None:
        """See ports.Backfills. One conditional put."""
        version = read.version if read else 0
        stored = replace(to, version=next_count(version))
        item = backfill_item.to_item(stored)
        return stored if self._table.put(item, unchanged(version)) in (None, item) else None

    def add(self, backfill_id: str, slices: Sequence[SliceProgress]) -> None:
        """See ports.Backfills. One conditional put for each slice."""
        for progress in slices:
            self._put(backfill_item.new_slice(backfill_id, progress))

    def save(self, backfill_id: str, progress: SliceProgress) -> None:
        """See ports.Backfills. One conditional put."""
        self._put(backfill_item.saved_slice(backfill_id, progress))

    def slice(self, backfill_id: str, lane: Lane, start: SequenceNumber) -> SliceProgress | None:
        """See ports.Backfills. One get."""
        item = self._table.get(slice_key(backfill_id, self._region, lane, start))
        return backfill_item.slice_from_item(item) if item else None

    def slices(
        self, backfill_id: str, *, after: SliceStart | None, count: int, unreadable: UnreadableItem = insist
    ) -> tuple[list[SliceProgress], bool]:
        """See ports.Backfills. One query."""
        start = backfill_item.sort_key_after(backfill_id, self._region, after)
        end = backfill_item.sort_key_end(self._region)
        page, more = self._table.query(slices_key(backfill_id), start=start, end=end, limit=count)
        return backfill_item.slices_of(page, unreadable), more

    def _put(self, request: dict[str, Any]) -> None:
        with suppress(ConditionFailedError):  # the item there is further, or the same after a lost reply
            self._table.write("Put", request)
