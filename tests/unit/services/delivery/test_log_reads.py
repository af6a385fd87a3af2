"""Reads of the log by a delivery: a page at a time, and no more than it examines."""

from dataclasses import replace

import pytest

from eventfabric.limits import LATE_AFTER_SECONDS, PAGE_RECORDS_MAX
from eventfabric.model import BatchId, Lane, Note, SequenceNumber, record_at
from tests.support.failing_handlers import FEW, Failing, fabric_of, named
from tests.support.memory_fabric import AWAY, LANE, STREAM, batch_of, event, lane
from tests.support.recorded_reads import RecordingLog
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.delivery.test_late import late_of, publish
from tests.unit.services.delivery.test_later_events import deliver_there, lost
from tests.unit.services.delivery.test_later_looks import home_is_back

THERE = lane(0, AWAY)


def delivered(fabric: SubscribedStream, of: Lane = LANE, *, tail: int | None = None) -> RecordingLog:
    """Deliver a lane. Return the log's reads for that."""
    unwatched, bell = fabric.log, fabric.bell(of, tail)
    watched = RecordingLog(unwatched)
    fabric.log = watched  # type: ignore[assignment]  # on its way to the log
    fabric.deliver(of, tail=bell.tail)
    fabric.log = unwatched
    return watched


def test_a_lane_is_read_page_by_page_from_its_cursor_on() -> None:
    fabric = SubscribedStream()
    for number in range(PAGE_RECORDS_MAX + 3):
        fabric.put(event(f"e{number}", key=f"k{number}"))
    fabric.deliver(tail=1, time_ms=0)
    assert delivered(fabric).reads == [
        (LANE, 0, PAGE_RECORDS_MAX, None),
        (LANE, PAGE_RECORDS_MAX, PAGE_RECORDS_MAX, None),
    ]


def test_an_event_that_waits_costs_a_read_of_its_record_and_those_in_one_record_only_one() -> None:
    fabric = fabric_of(Failing({"a1": 1}), **FEW)
    fabric.put(*named("x1", "a1", "a2"))
    fabric.put(*named("a3"))
    fabric.deliver()
    fabric.clock.advance(60)
    assert delivered(fabric, tail=0).reads == [(LANE, 0, 1, None), (LANE, 3, 1, None), (LANE, 4, 100, None)]
    assert fabric.recorder.ids() == ["x1", "a1", "a2", "a3"]


def test_the_first_copy_of_a_noted_batch_is_looked_for_where_it_may_stand_and_nowhere_else() -> None:
    fabric = SubscribedStream().in_region(AWAY)
    log = fabric.cloud.log(STREAM, AWAY)
    noted_batch = replace(batch_of([event("a")], BatchId(b"n" * 16)), note=Note(LANE, SequenceNumber(7)))
    record = record_at(
        log.tail(THERE), THERE, noted_batch, now_ms=fabric.clock.now_ms(), retention_seconds=None
    )
    assert log.append(record) is None
    assert delivered(fabric, THERE).reads == [(THERE, 0, 100, None), (LANE, 7, 1, 8)]


class TestLater:
    """Later events are looked up once, up to those that were handed out, and within bounds."""

    def test_it_is_read_up_to_what_was_handed_out(self) -> None:
        away = lost()
        deliver_there(away, *(f"c{number}" for number in range(149)), "a2")
        publish(away, "b2", origin=AWAY)
        home_is_back(away)
        expected = [(THERE, 0, 100, 150), (THERE, 100, 100, 150), (THERE, 149, 1, None)]
        assert delivered(away).reads[1:] == expected
        assert late_of(away)["a1"] == "a2"

    @pytest.mark.parametrize("milliseconds", [0, 1])
    def test_nothing_is_read_where_nothing_was_published_later(self, milliseconds: int) -> None:
        fabric = SubscribedStream()
        publish(fabric, "a1", origin=AWAY)
        fabric.in_region(AWAY).deliver(THERE)
        fabric.clock.advance(milliseconds / 1000)
        publish(fabric, "a2")
        fabric.cloud.replicate()
        fabric.clock.advance(LATE_AFTER_SECONDS + 1)
        watched = delivered(fabric)
        assert watched.reads == [(LANE, 0, 100, None)]
        assert watched.tails == [(THERE, 1)], "what stands behind that is nobody's yet"

    def test_it_is_looked_up_once_for_all_events_of_a_visit(self) -> None:
        away = lost()
        deliver_there(away, "a2", "b2")
        home_is_back(away)
        watched = delivered(away)
        pages = [read for read in watched.reads if read[0] == THERE and read[3] is not None]
        assert len(pages) == 1
        assert late_of(away) == {"a2": None, "b2": None, "a1": "a2", "b1": "b2"}
