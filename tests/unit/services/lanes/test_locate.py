"""The place of a sequence or a time in a lane, and what a cursor there knows of what lies before it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric.model import (
    EMPTY_TAIL,
    UNKNOWN_CHAIN,
    AtSequence,
    AtTime,
    Cursor,
    LaneKey,
    Record,
    Region,
    SequenceNumber,
    Start,
    StreamName,
    SubscriptionName,
    parse_start,
)
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.lanes.locate import KeptPart, event_at, kept_in, locate
from eventfabric.wire.keys import record_key
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def fabric_of(sizes: list[int], waits: list[int]) -> SubscribedStream:
    """Records of so many events, with so many milliseconds before each."""
    fabric = SubscribedStream()
    for index, (size, wait_ms) in enumerate(zip(sizes, waits, strict=False)):
        fabric.clock.advance(wait_ms / 1000)
        fabric.put(*(event(f"{index}.{number}") for number in range(size)))
    return fabric


def expired(fabric: SubscribedStream, *records: Record) -> None:
    """They are gone, as by their time to live."""
    for record in records:
        fabric.table.write("Delete", {"Key": record_key(LANE, record.sequence)})


def found_in(fabric: SubscribedStream, start: Start, *, kept_part: KeptPart | None = None) -> Cursor:
    """Return where `start` is located in the whole lane."""
    cursor = locate(fabric.log, LANE, start, end=fabric.log.tail(LANE), kept_part=kept_part)
    assert cursor is not None
    return cursor


def before(fabric: SubscribedStream, record: Record) -> Cursor:
    """A cursor at the start of a record."""
    tail = fabric.log.tail(LANE, before=record.sequence)
    return Cursor(record.sequence, record.sequence, tail.chain)


sizes_and_waits = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(drawn=sizes_and_waits, position=st.integers(0, 160))
def test_the_event_at_a_place_is_found_in_whichever_record_holds_it(
    drawn: list[tuple[int, int]], position: int
) -> None:
    fabric = fabric_of([size for size, _ in drawn], [wait for _, wait in drawn])
    names = [f"{index}.{number}" for index, (size, _) in enumerate(drawn) for number in range(size)]
    event = event_at(fabric.log, LANE, SequenceNumber(position))
    assert (event and event.id) == (names[position] if position < len(names) else None)
    if event is not None:
        assert (event.lane, event.sequence) == (LANE, position)


def test_no_event_is_found_at_the_place_of_a_record_that_is_gone() -> None:
    fabric = fabric_of([2, 3, 2], [1, 1, 1])
    expired(fabric, fabric.records()[1])
    assert [bool(event_at(fabric.log, LANE, SequenceNumber(number))) for number in range(7)] == [True] * 2 + [
        False
    ] * 3 + [True] * 2


@settings(max_examples=200, deadline=None)
@given(drawn=sizes_and_waits, position=st.integers(0, 160))
def test_a_sequence_stands_in_the_record_that_holds_it(drawn: list[tuple[int, int]], position: int) -> None:
    fabric = fabric_of([size for size, _ in drawn], [wait for _, wait in drawn])
    tail = fabric.log.tail(LANE)
    cursor = found_in(fabric, AtSequence(SequenceNumber(position)))
    if position >= tail.sequence:
        assert (cursor.sequence, cursor.base, cursor.chain) == (tail.sequence, tail.sequence, tail.chain)
        return
    (holder,) = [r for r in fabric.records() if r.sequence <= position < r.tail.sequence]
    assert (cursor.sequence, cursor.base) == (position, holder.sequence)
    assert holder.extends(cursor.chain)


@settings(max_examples=200, deadline=None)
@given(drawn=sizes_and_waits, after_ms=st.integers(-2, 100))
def test_a_time_stands_at_the_first_record_that_was_appended_then_or_later(
    drawn: list[tuple[int, int]], after_ms: int
) -> None:
    began_ms = SubscribedStream().clock.now_ms()
    fabric = fabric_of([size for size, _ in drawn], [wait for _, wait in drawn])
    tail = fabric.log.tail(LANE)
    cursor = found_in(fabric, AtTime(began_ms + after_ms))
    later = [r for r in fabric.records() if r.time >> 16 >= began_ms + after_ms]
    if not later:
        assert cursor.sequence == tail.sequence
        return
    assert cursor == before(fabric, later[0])


def test_an_empty_lane_has_but_its_start() -> None:
    fabric = SubscribedStream()
    for start in (AtSequence(SequenceNumber(0)), AtSequence(SequenceNumber(7)), AtTime(1)):
        assert found_in(fabric, start).sequence == 0


@pytest.mark.parametrize("gone", [(), (0,), (0, 1), (1,), (0, 2), (2,)], ids=str)
@pytest.mark.parametrize(
    "start", [AtSequence(SequenceNumber(0)), AtSequence(SequenceNumber(5)), AtTime(0)], ids=str
)
def test_what_has_expired_or_may_at_any_time_is_not_gone_back_to(gone: tuple[int, ...], start: Start) -> None:
    """Three of five records are past their time; those of them that are gone already leave holes."""
    fabric = fabric_of([2] * 5, [1_000] * 5)
    records = fabric.records()
    kept_ms = records[3].time >> 16
    expired(fabric, *(records[index] for index in gone))
    cursor = found_in(
        fabric, start, kept_part=KeptPart(kept_ms, fabric.clock.now_ms(), fabric.clock.now_ms())
    )
    chain = UNKNOWN_CHAIN if 2 in gone else records[2].chain
    assert cursor == Cursor(SequenceNumber(6), SequenceNumber(6), chain)
    ledger = fabric.cloud.ledger(fabric.region)
    ledger.commit(LaneKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), LANE), fabric.cursor(), cursor)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["3.0", "3.1", "4.0", "4.1"]
    assert fabric.cursor().chain == records[4].chain


def test_a_sequence_that_is_kept_is_gone_back_to_as_it_is() -> None:
    fabric = fabric_of([2] * 5, [1_000] * 5)
    records = fabric.records()
    expired(fabric, records[0])
    start = AtSequence(SequenceNumber(7))
    cursor = locate(
        fabric.log,
        LANE,
        start,
        end=fabric.log.tail(LANE),
        kept_part=KeptPart(records[1].time >> 16, fabric.clock.now_ms(), fabric.clock.now_ms()),
    )
    assert cursor == Cursor(SequenceNumber(7), SequenceNumber(6), records[2].chain)


@pytest.mark.parametrize(("origin", "hours"), [(HOME, 0), (AWAY, 0), (AWAY, 23), (AWAY, 25)])
def test_a_missing_record_has_expired_or_may_still_come_by_where_it_is_from(
    origin: Region, hours: int
) -> None:
    fabric = SubscribedStream()
    of = lane(0, origin)
    records = [fabric.record(EMPTY_TAIL, event("0"), of=of)]
    records.append(fabric.record(records[0].tail, event("1"), of=of))
    fabric.log.append(records[1])
    fabric.clock.advance(3_600 * hours)
    kept_part = kept_in(of, HOME, retention_seconds=30 * 86_400, now_ms=fabric.clock.now_ms())
    cursor = locate(fabric.log, of, AtTime(0), end=fabric.log.tail(of), kept_part=kept_part)
    assert cursor == (
        None if origin == AWAY and hours < 24 else Cursor(SequenceNumber(1), SequenceNumber(1), UNKNOWN_CHAIN)
    )


def test_a_record_that_has_not_come_yet_is_waited_for() -> None:
    fabric = fabric_of([2] * 5, [1_000] * 5)
    records = fabric.records()
    expired(fabric, records[2])
    for start in (
        AtSequence(SequenceNumber(6)),
        AtTime(records[2].time >> 16),
        AtTime(records[3].time >> 16),
    ):
        assert found_in(fabric, start) == before(fabric, records[2])


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.0001z", 1),
        ("1970-01-01T00:00:00.0019999999+00:00", 2),
        ("1970-01-01T01:00:00.5+01:00", 500),
        ("1969-12-31T23:59:59.9995Z", 0),
        ("9999-12-31T23:59:59Z", 253402300799000),
    ],
)
def test_a_time_is_the_first_millisecond_that_is_not_before_it(text: str, ms: int) -> None:
    assert parse_start(text) == AtTime(ms)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "1.5",
        "１",
        "0x1",
        "yesterday",
        "2026-11-01",
        "2026-11-01T00:00:00",
        "2026-11-01 00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-01T24:00:00Z",
        "2026-11-01T00:00:00+25:00",
        "0001-01-01T00:00:00+23:59\n",
        "9" * 19,
    ],
)
def test_other_texts_are_no_place(text: str) -> None:
    assert parse_start(text) is None


def test_digits_are_a_sequence() -> None:
    assert parse_start("042") == AtSequence(SequenceNumber(42))
