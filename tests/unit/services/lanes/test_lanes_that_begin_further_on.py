"""Lanes that do not begin at 0, because they were split off from another: where they end, how they are marked."""

import pytest

from eventfabric.limits import FAR_EVENTS, LANES_MAX
from eventfabric.model import (
    EMPTY_TAIL,
    Chain,
    Generation,
    HybridTime,
    Lane,
    LaneIndex,
    Mark,
    Marks,
    SequenceNumber,
    StreamName,
    Tail,
    part_of,
    record_at,
)
from eventfabric.services.lanes.lane_end import believed_tail, lane_end, tail_from, tail_to_begin_at
from eventfabric.testing.memory.log import MemoryLog
from eventfabric.wire.marks_item import changed_items, from_items
from tests.support.appends import mine
from tests.support.memory_fabric import HOME, LANE, STREAM
from tests.support.subscribed_stream import SubscribedStream

CHILD = Lane(HOME, Generation(1), LaneIndex(1))
SEAM = Tail(SequenceNumber(7 * FAR_EVENTS), Chain(b"s" * 16), HybridTime(5 << 16))
NOW_MS = 1_790_000_000_000


def log_with(records: int, *, retention_seconds: int | None = None) -> tuple[MemoryLog, Tail]:
    """Return a log in which records continue the seam, and the tail behind them."""
    log, tail = SubscribedStream().log, SEAM
    for _ in range(records):
        record = record_at(tail, CHILD, mine(), now_ms=NOW_MS, retention_seconds=retention_seconds)
        assert log.append(record) is None
        tail = record.tail
    return log, tail


@pytest.mark.parametrize("records", [0, 1, 2, 5])
@pytest.mark.parametrize("retention_seconds", [None, 86_400])
def test_such_a_lane_ends_behind_its_records_however_far_it_begins(
    records: int, retention_seconds: int | None
) -> None:
    log, tail = log_with(records, retention_seconds=retention_seconds)
    end = lane_end(log, CHILD, now_ms=NOW_MS, start=SEAM)
    assert (end.tail, end.beyond) == (tail, ())
    assert believed_tail(log, CHILD, past=EMPTY_TAIL.sequence, now_ms=NOW_MS, start=SEAM) == tail
    assert tail_to_begin_at(log, CHILD, now_ms=NOW_MS, start=SEAM) == tail
    assert tail_from(log, CHILD, SEAM) == tail


def test_what_does_not_continue_its_start_is_beyond_its_end() -> None:
    log, _ = log_with(0)
    elsewhere = Tail(SequenceNumber(SEAM.sequence + FAR_EVENTS + 1), Chain(b"x" * 16), SEAM.time)
    log.append(record_at(elsewhere, CHILD, mine(), now_ms=NOW_MS, retention_seconds=None))
    end = lane_end(log, CHILD, now_ms=NOW_MS, start=SEAM)
    assert (end.tail, end.beyond, end.is_far) == (SEAM, (elsewhere.sequence,), True)
    assert believed_tail(log, CHILD, past=EMPTY_TAIL.sequence, now_ms=NOW_MS, start=SEAM) == SEAM


def test_lanes_of_each_generation_have_numbers_and_marks_of_their_own() -> None:
    lanes = [LANE, *(Lane(HOME, Generation(number), LANE.index) for number in range(1, 13))]
    assert LANE.number == LANE.index
    assert len({part_of(own.number) for own in lanes}) == len(lanes)
    marks = Marks({own.number: Mark(SequenceNumber(own.generation + 1)) for own in lanes})
    items = [item for item, _ in changed_items(StreamName(STREAM), HOME, HOME, Marks(), marks)]
    read = from_items(items)
    assert (read.lanes, read.unreadable) == (marks.lanes, {})
    assert [read.of(own.number).sequence for own in lanes] == [*range(1, 14)]


def test_a_mark_of_a_lane_that_no_stream_can_have_is_not_read() -> None:
    number = 13 * LANES_MAX
    marks = Marks({number: Mark(SequenceNumber(1))})
    items = [item for item, _ in changed_items(StreamName(STREAM), HOME, HOME, Marks(), marks)]
    assert list(from_items(items).unreadable) == [part_of(number)]
