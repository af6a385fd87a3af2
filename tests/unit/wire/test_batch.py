"""A record's bounds, wherever its events come from: what is made can be stored and read, all else is refused."""

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric import Event, limits
from eventfabric.errors import EventTooLargeError, RecordBoundsError
from eventfabric.model import (
    EMPTY_TAIL,
    Batch,
    BatchId,
    Generation,
    Lane,
    LaneIndex,
    Note,
    Region,
    SequenceNumber,
    record_at,
)
from eventfabric.wire.batch import (
    EVENTS_BYTES_MAX,
    batch_of_columns,
    batch_of_rows,
    has_room,
    row_bytes,
    split_rows,
)
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.payload_codec import Attributes, Row, encode_event, stored, unpack
from eventfabric.wire.record_item import from_item, to_item
from tests.support.strategies import events as any_events

ID = BatchId(b"b" * 16)
LANE = Lane(Region("ap-southeast-2"), Generation(0), LaneIndex(limits.LANES_MAX - 1))
NOTE = Note(LANE, SequenceNumber(2**52))


def row(number: int = 0, *, type_: str = "placed", content: bytes = b'"x"', kind: int = 1) -> Row:
    return f"id{number}", type_, "k", 2**50, "/s", {}, kind, content


def read_back(batch: Batch) -> list[Event]:
    """The events of the batch as a reader finds them, in an item that fits into the log."""
    batch = Batch(batch.id, batch.count, batch.types, batch.payload, NOTE)
    item = to_item(record_at(EMPTY_TAIL, LANE, batch, now_ms=2**40, retention_seconds=2**30))
    assert item_bytes(item) <= limits.ITEM_BYTES_MAX
    return unpack(from_item(item))


def wide(number: int) -> str:
    """A type that takes as many bytes as any can."""
    return f"{number:03d}" + "\U0001f69a" * (limits.TYPE_CHARACTERS_MAX - 3)


def largest(kind: int, content: bytes) -> Row:
    around = row_bytes(row(content=b"", kind=kind)) + 5
    return row(content=content[: EVENTS_BYTES_MAX - around], kind=kind)


NOISE = Random(1).randbytes(2 * limits.RECORD_PAYLOAD_BYTES_MAX)


@pytest.mark.parametrize("content", [b'"' + b"a" * 2**20, NOISE], ids=["repeated text", "noise"])
def test_the_largest_event_is_stored_and_read_whether_it_compresses_or_not(content: bytes) -> None:
    row = largest(2, content)
    assert row_bytes(row) >= EVENTS_BYTES_MAX - 5
    (event,) = read_back(batch_of_rows(ID, [row]))
    assert event.payload.content == row[-1]
    with pytest.raises(EventTooLargeError):
        row_bytes((*row[:-1], row[-1] + b"123456"))


def test_what_compresses_to_nothing_is_refused_where_no_reader_would_unpack_it() -> None:
    rows = [row(number, content=b"a" * 100_000, kind=2) for number in range(3)]
    with pytest.raises(RecordBoundsError, match="bytes before compression, allowed: at most 262,144"):
        batch_of_rows(ID, rows)
    attributes: Attributes = ("placed", 2**50, "/s", {}, 2)
    with pytest.raises(RecordBoundsError, match="before compression"):
        batch_of_columns(ID, ["1"] * 3, ["k"] * 3, [b"a" * 100_000] * 3, [attributes], [0])


def test_a_record_takes_as_many_events_as_it_may_and_no_more() -> None:
    rows = [row(number) for number in range(limits.RECORD_EVENTS_MAX + 1)]
    assert len(read_back(batch_of_rows(ID, rows[1:]))) == limits.RECORD_EVENTS_MAX
    with pytest.raises(RecordBoundsError, match="1,001 events, allowed: 1 to 1,000"):
        batch_of_rows(ID, rows)
    with pytest.raises(RecordBoundsError, match="0 events"):
        batch_of_rows(ID, [])


def test_events_fill_a_record_to_its_last_byte() -> None:
    assert has_room(1, EVENTS_BYTES_MAX - 100, {"placed"}, "placed", 100)
    assert not has_room(1, EVENTS_BYTES_MAX - 100, {"placed"}, "placed", 101)


def test_a_record_takes_as_many_types_as_it_may_with_the_largest_payload_beside_them() -> None:
    rows = [row(number, type_=wide(number)) for number in range(limits.RECORD_TYPES_MAX)]
    room = EVENTS_BYTES_MAX - sum(map(row_bytes, rows[1:])) - row_bytes(row(type_=wide(0), content=b"")) - 5
    rows[0] = row(type_=wide(0), content=NOISE[:room], kind=2)
    batch = batch_of_rows(ID, rows)
    assert len(batch.payload) > limits.RECORD_PAYLOAD_BYTES_MAX - 60_000
    assert len(read_back(batch)) == limits.RECORD_TYPES_MAX
    with pytest.raises(RecordBoundsError, match="101 event types, allowed: at most 100"):
        batch_of_rows(ID, [*rows[1:], row(0, type_="one"), row(1, type_="two")])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 150_000), st.integers(0, 150)), min_size=1, max_size=12),
    st.integers(1, 400),
)
def test_rows_of_any_size_and_type_are_split_into_records_that_are_read_back_as_they_were(
    shapes: list[tuple[int, int]], repeated: int
) -> None:
    small = [(10, number % 130) for number in range(repeated)]
    rows = [
        row(number, type_=f"t{type_}", content=NOISE[size : 2 * size], kind=2)
        for number, (size, type_) in enumerate([*shapes, *small, *shapes[:2]])
    ]
    parts = list(split_rows(rows))
    assert [row for part in parts for row in part] == rows
    events = [event for part in parts for event in read_back(batch_of_rows(ID, part))]
    assert [(e.id, e.type, e.payload.content) for e in events] == [(r[0], r[1], r[-1]) for r in rows]
    for first, second in itertools.pairwise(parts):
        full = len(first) == limits.RECORD_EVENTS_MAX
        heavy = sum(map(row_bytes, first)) + row_bytes(second[0]) > EVENTS_BYTES_MAX
        varied = len({row[1] for row in [*first, second[0]]}) > limits.RECORD_TYPES_MAX
        assert full or heavy or varied, "no record is closed before it must be"


@given(st.lists(any_events, min_size=1, max_size=6))
def test_events_of_any_kind_are_read_back_equal(events: list[Event]) -> None:
    rows = [stored(event) for event in events]
    read = read_back(batch_of_rows(ID, rows))
    assert [stored(event) for event in read] == rows
    assert sum(len(encode_event(row)) for row in rows) <= EVENTS_BYTES_MAX
