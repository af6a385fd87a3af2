"""Newest events of a stream: those of all lanes, newest first, read page by page as they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from typing import Final

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import Event, Lane, Record, SequenceNumber, to_ms
from eventfabric.ports import Log
from eventfabric.wire.payload_codec import unpack

_PAGE_RECORDS: Final = 20


def newest_events(
    log: Log, lanes: Sequence[Lane], *, unreadable: Callable[[UndecodableRecordError], None]
) -> Iterator[tuple[Event, int]]:
    """Yield each event with the time of its append, in milliseconds since 1970.

    `unreadable` is told of records that cannot be read, and are left out.
    """
    for record in _merged(log, lanes, unreadable):
        try:
            events = unpack(record)
        except UndecodableRecordError as error:
            unreadable(error)
            continue
        yield from ((event, to_ms(record.time)) for event in reversed(events))


def _merged(
    log: Log, lanes: Iterable[Lane], unreadable: Callable[[UndecodableRecordError], None]
) -> Iterator[Record]:
    """Yield the records of lanes, newest first."""
    pages = (_records(log, lane, unreadable) for lane in lanes)
    return merge(*pages, key=lambda record: -record.time)


def _records(log: Log, lane: Lane, unreadable: Callable[[UndecodableRecordError], None]) -> Iterator[Record]:
    """Yield the records of a lane, newest first: those of the lanes into which it was split before its own."""
    before: SequenceNumber | None = None
    records_max = 1  # of each lane, one is needed before the first event is known
    while True:
        page = log.recent(lane, records_max=records_max, before=before, consistent=False)
        for sequence in page.unreadable:
            unreadable(UndecodableRecordError(lane, sequence, "cannot be read, and is left out"))
        if before is None and page.records and page.records[0].is_seal:
            yield from _merged(log, lane.children, unreadable)
        yield from page.records
        sequences = [*(record.sequence for record in page.records), *page.unreadable]
        if not page.more or not sequences:
            return
        before = min(sequences)
        records_max = _PAGE_RECORDS
