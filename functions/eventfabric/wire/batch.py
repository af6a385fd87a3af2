"""Batches of events: the only place where the bounds of a record are kept, whichever way its events came.

A batch that was made can be stored (its item fits into 400 KB) and read (no codec holds more than a reader accepts).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from eventfabric import limits
from eventfabric.errors import EventTooLargeError, Problem, RecordBoundsError
from eventfabric.model import Batch, BatchId, Record
from eventfabric.wire.payload_codec import (
    RECORD_OVERHEAD_BYTES,
    Attributes,
    Row,
    encode_event,
    pack,
    pack_columns,
    stored,
    unpack,
)

EVENTS_BYTES_MAX: Final = limits.RECORD_PAYLOAD_BYTES_MAX - RECORD_OVERHEAD_BYTES
"""Most bytes of one record's events, each encoded by itself."""


def batch_of_columns(
    batch_id: BatchId,
    ids: Sequence[str],
    keys: Sequence[str],
    contents: Sequence[bytes],
    runs: Sequence[Attributes],
    starts: Sequence[int],
) -> Batch:
    """Make the batch of events that are given field by field; see `pack_columns`. RecordBoundsError."""
    types = frozenset([run[0] for run in runs])
    _check(len(ids), types)
    return Batch(batch_id, len(ids), types, pack_columns(ids, keys, contents, runs, starts))


def batch_of_rows(batch_id: BatchId, rows: Sequence[Row]) -> Batch:
    """Make the batch of these events. RecordBoundsError if they are more than one record may hold."""
    types = frozenset([row[1] for row in rows])
    _check(len(rows), types)
    return Batch(batch_id, len(rows), types, pack(rows))


def batch_of_some(record: Record, indices: Iterable[int], batch_id: BatchId) -> Batch:
    """Make the batch of some events of a record that was packed as a whole."""
    events = unpack(record)
    return batch_of_rows(batch_id, [stored(events[index]) for index in indices])


def split_rows(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Split the rows, in order, into as few parts as possible that each fit into one record."""
    part: Part = Part()
    for row in rows:
        size = row_bytes(row)
        if not part.has_room(row[1], size):
            yield part.rows
            part = Part()
        part.add(row, size)
    if part.rows:
        yield part.rows


class Part:
    """Events that will become one record."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._types: set[str] = set()
        self._bytes = 0

    def has_room(self, type_: str, size_bytes: int) -> bool:
        """Tell if an event of that type and size fits beside those that are there."""
        return has_room(len(self.rows), self._bytes, self._types, type_, size_bytes)

    def add(self, row: Row, size_bytes: int) -> None:
        """Add an event for which there is room."""
        self.rows.append(row)
        self._types.add(row[1])
        self._bytes += size_bytes


def has_room(events: int, bytes_: int, types: Collection[str], type_: str, size_bytes: int) -> bool:
    """Tell if an event of that type and size fits into one record beside so many events, bytes, and these types."""
    return (
        events < limits.RECORD_EVENTS_MAX
        and bytes_ + size_bytes <= EVENTS_BYTES_MAX
        and (type_ in types or len(types) < limits.RECORD_TYPES_MAX)
    )


def row_bytes(row: Row) -> int:
    """Return the most bytes that a row takes of a record. InvalidEventError; EventTooLargeError if none can hold it."""
    # Measured alone: in the columns of a record it takes no more than that.
    size = len(encode_event(row))
    if size > EVENTS_BYTES_MAX:
        raise EventTooLargeError(
            [Problem("event", f"{size} bytes encoded", f"at most {EVENTS_BYTES_MAX} bytes")]
        )
    return size


def _check(count: int, types: frozenset[str]) -> None:
    if not 0 < count <= limits.RECORD_EVENTS_MAX:
        raise RecordBoundsError(f"{count:,} events", f"1 to {limits.RECORD_EVENTS_MAX:,}")
    if len(types) > limits.RECORD_TYPES_MAX:
        raise RecordBoundsError(f"{len(types):,} event types", f"at most {limits.RECORD_TYPES_MAX}")
