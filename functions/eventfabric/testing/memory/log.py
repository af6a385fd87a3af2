"""The log on a table in memory."""

from contextlib import suppress

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import EMPTY_TAIL, Intervention, Lane, Recent, Record, SequenceNumber, Tail
from eventfabric.ports import Page
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table import ConditionFailedError, MemoryTable
from eventfabric.testing.memory.table_client import TableClient
from eventfabric.wire import intervention_item, place_item, record_item
from eventfabric.wire.keys import SK, Item, interventions_of, record_key


class MemoryLog:
    """ports.Log on one table of one Region."""

    def __init__(self, table: MemoryTable, *, requests: Requests | None = None) -> None:
        self._table = TableClient(table, requests or Requests())

    def tail(self, lane: Lane, *, before: SequenceNumber | None = None) -> Tail:
        """See ports.Log. One query of one item."""
        return _tail_of(self._newest(lane, before))

    def recent(
        self, lane: Lane, *, records_max: int, before: SequenceNumber | None = None, consistent: bool = True
    ) -> Recent:
        """See ports.Log. One query."""
        end = None if before is None else {"N": str(before)}
        items, more = self._table.query({"S": str(lane)}, end=end, limit=records_max, newest_first=True)
        return place_item.recent(items, more=more)

    def place(self, lane: Lane) -> Tail | None:
        """See ports.Log. One query."""
        return self.recent(lane, records_max=1, before=SequenceNumber(0)).place

    def hold_place(self, lane: Lane, tail: Tail) -> None:
        """See ports.Log. One conditional put."""
        with suppress(ConditionFailedError):
            self._table.write("Put", place_item.put(lane, tail))

    def note(self, intervention: Intervention) -> None:
        """See ports.Log. One put."""
        self._table.put(intervention_item.to_item(intervention))

    def set_aside(self, intervention: Intervention) -> None:
        """See ports.Log. A get, a put and a delete."""
        key = record_key(intervention.lane, intervention.sequence)
        stood = self._table.get(key)
        if stood is not None:
            self._table.put(intervention_item.to_item(intervention, stood))
            self._table.write("Delete", {"Key": key}, name="delete")

    def interventions(self, lane: Lane) -> tuple[Intervention, ...]:
        """See ports.Log. One query for each megabyte of what was set aside."""
        partition, start, more = interventions_of(lane), {"N": "0"}, True
        items: list[Item] = []
        while more:
            page, more = self._table.query(partition, start=start)
            items += page
            start = {"N": str(int(items[-1][SK]["N"]) + 1)} if items else start
        return tuple(intervention_item.from_item(item, lane) for item in items)

    def _newest(self, lane: Lane, before: SequenceNumber | None) -> Item | None:
        end = None if before is None else {"N": str(before)}
        items, _ = self._table.query({"S": str(lane)}, start={"N": "0"}, end=end, limit=1, newest_first=True)
        return items[0] if items else None

    def append(self, record: Record) -> Record | None:
        """See ports.Log. One conditional put."""
        try:
            self._table.write("Put", record_item.conditional_put(record))
        except ConditionFailedError as failed:
            return record_item.from_item(failed.item or {})
        return None

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        """See ports.Log. One query."""
        end = None if before is None else {"N": str(before)}
        items, more = self._table.query({"S": str(lane)}, start={"N": str(start)}, end=end, limit=records_max)
        records: list[Record] = []
        for item in items:
            try:
                records.append(record_item.from_item(item))
            except UndecodableRecordError:
                if not records:
                    raise
                return Page(tuple(records), more=True)
        return Page(tuple(records), more=more)


def _tail_of(header: Item | None) -> Tail:
    return record_item.from_item({**header, "d": {"B": b""}}).tail if header else EMPTY_TAIL
