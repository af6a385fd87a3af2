"""Logs of lanes that were split: what stands in them, checked from the roots on."""

from eventfabric.model import EMPTY_TAIL, Lane, Record, SequenceNumber, Tail, child_of, tail_behind
from eventfabric.ports import Log
from eventfabric.wire.payload_codec import unpack


def records_below(log: Log, lane: Lane, lanes: int, tail: Tail = EMPTY_TAIL) -> list[Record]:
    """Return all records of a lane and of the lanes below it, once it is certain that each continues the one before.

    Each key's events stand in lanes of the key alone, and nothing stands behind a seal or in a child without one.
    """
    records: list[Record] = []
    for record in log.read(lane, SequenceNumber(0), records_max=1000).records:
        assert not tail.is_sealed, f"{record.lane} goes on behind its seal"
        assert record.sequence == tail.sequence
        assert record.extends(tail.chain)
        assert record.time > tail.time
        tail = record.tail
        records.append(record)
        for event in unpack(record):
            own = lane if lane.is_root else child_of(lane.parent, event.key, lanes)
            assert own == lane, f"{event.key} is not of {lane}"
    for child in lane.children:
        if tail.is_sealed:
            records += records_below(log, child, lanes, tail_behind(tail))
        else:
            assert log.tail(child) == EMPTY_TAIL, f"{child} was begun without a seal"
    return records


def events_of_keys(records: list[Record]) -> dict[str, list[str]]:
    """Return the ids of each key's events in the order of the log."""
    ids: dict[str, list[str]] = {}
    for record in records:
        for event in unpack(record):
            ids.setdefault(event.key, []).append(str(event.id))
    return ids
