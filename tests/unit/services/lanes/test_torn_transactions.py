"""Transactions of several records: a read may show the second before the first, and nobody takes that for a hole."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eventfabric import limits
from eventfabric.deadline import call_within
from eventfabric.errors import UncertainTailError
from eventfabric.model import Record
from eventfabric.model.finding import FindingKind
from eventfabric.services.publishing.lane_ends import LaneEnds
from eventfabric.wire.keys import record_key
from tests.support.appends import mine
from tests.support.expiry import reconciled
from tests.support.log_items import delete
from tests.support.memory_fabric import LANE, event
from tests.support.recorded_reads import RecordingLog
from tests.support.subscribed_stream import SubscribedStream


@contextmanager
def unseen(fabric: SubscribedStream, record: Record, *, until_waited: float) -> Iterator[None]:
    """Have no read see a record that is there, until so many seconds were waited."""
    table, sleep = fabric.table, fabric.clock.sleep
    table.hidden[table.key_of(record_key(record.lane, record.sequence))] = None
    waited = [0.0]

    def wait(seconds: float) -> None:
        waited[0] += seconds
        if waited[0] >= until_waited:
            table.hidden.clear()
        sleep(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fabric.clock, "sleep", wait)
        yield
    table.hidden.clear()


def of_two_records() -> tuple[SubscribedStream, Record]:
    """A lane with a record, and then two of one transaction; the first of these."""
    fabric = SubscribedStream()
    fabric.put(event("x"))
    first = fabric.put(event("t1"))
    fabric.put(event("t2"))
    return fabric, first


@pytest.mark.parametrize("until_waited", [0.01, 0.5])
def test_a_publisher_that_sees_the_second_record_alone_looks_again(until_waited: float) -> None:
    fabric, first = of_two_records()
    with unseen(fabric, first, until_waited=until_waited):
        assert fabric.appender().append(LANE, mine()).sequence == 3


def test_what_stays_away_for_a_second_is_a_hole_to_a_publisher() -> None:
    fabric, first = of_two_records()
    delete(fabric, first)
    log, began_ms = RecordingLog(fabric.log), fabric.clock.now_ms()
    with pytest.raises(UncertainTailError):
        LaneEnds(log, clock=fabric.clock, expires=False).tail(LANE)
    assert fabric.clock.now_ms() - began_ms == 1000 * sum(limits.TORN_READ_PAUSES_SECONDS)


def test_a_publisher_does_not_look_again_when_its_time_is_over() -> None:
    fabric, first = of_two_records()
    delete(fabric, first)
    began_ms = fabric.clock.now_ms()
    with pytest.raises(UncertainTailError):
        call_within(0, LaneEnds(fabric.log, clock=fabric.clock, expires=False).tail, LANE)
    assert fabric.clock.now_ms() == began_ms


def test_reconciliation_that_sees_the_second_record_alone_looks_again() -> None:
    fabric, first = of_two_records()
    with unseen(fabric, first, until_waited=0.5):
        assert set(reconciled(fabric)) <= {FindingKind.UNRUNG}
    assert fabric.ledger.marks(fabric.bell().stream, LANE.origin).of(LANE.index).sequence == 3


def test_a_pass_pauses_for_a_bounded_time_however_many_holes_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "TORN_READ_PASS_SECONDS", 0.05)
    fabric, first = of_two_records()
    delete(fabric, first)
    began_ms = fabric.clock.now_ms()
    assert FindingKind.HOLE in reconciled(fabric)
    assert fabric.clock.now_ms() - began_ms == 20
