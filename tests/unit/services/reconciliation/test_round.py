"""Rounds: what was verified once is verified again, so that what is removed behind every cursor is found in time."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.model import Mark, SequenceNumber
from eventfabric.model.finding import FindingKind
from eventfabric.services.reconciliation.round import Round
from eventfabric.telemetry import Metric
from eventfabric.wire import record_item
from tests.support.expiry import DAY_SECONDS, DAYS, expire, reconciled
from tests.support.log_items import delete, fabric_with
from tests.support.memory_fabric import AWAY, LANE, STREAM, event, lane
from tests.support.recorded_reads import RecordingLog
from tests.support.subscribed_stream import SubscribedStream


def verified(count: int, *, retention_days: int | None = None) -> SubscribedStream:
    """A lane of so many records that is delivered, replicated, and verified by a pass, a day ago and more."""
    fabric = fabric_with(count, retention_days=retention_days)
    fabric.deliver()
    fabric.cloud.replicate()
    assert reconciled(fabric) == []
    fabric.clock.advance(limits.ROUND_SECONDS + 1)
    return fabric


def mark_of(fabric: SubscribedStream) -> Mark:
    return fabric.ledger.marks(fabric.bell().stream, LANE.origin).of(LANE.index)


def age_seconds(fabric: SubscribedStream) -> float | None:
    return fabric.telemetry.gauges.get((Metric.OLDEST_ROUND, STREAM))


@pytest.mark.parametrize("removed", [0, 1, 3, 4])
def test_a_record_that_is_removed_behind_every_cursor_is_found_and_copied_back(removed: int) -> None:
    fabric = verified(5)
    whole = fabric.records()
    delete(fabric, whole[removed])
    kinds = reconciled(fabric)
    if removed < 4:  # the last one is missed by any pass
        assert kinds == [FindingKind.HOLE]
    fabric.clock.advance(300)
    assert FindingKind.HOLE in [*kinds, *reconciled(fabric)]
    assert fabric.records() == whole
    fabric.clock.advance(300)
    assert reconciled(fabric) == []


def test_a_record_that_was_changed_is_found() -> None:
    fabric = verified(5)
    changed = replace(fabric.records()[2], payload=fabric.records()[1].payload)
    fabric.table.write("Put", {"Item": record_item.to_item(changed)})
    assert reconciled(fabric) == [FindingKind.DIVERGENCE]
    assert FindingKind.DIVERGENCE in reconciled(fabric)


def test_nothing_is_read_again_within_a_day() -> None:
    fabric = fabric_with(5)
    fabric.deliver()
    reconciled(fabric)
    delete(fabric, fabric.records()[2])
    fabric.clock.advance(limits.ROUND_SECONDS - 60)
    assert reconciled(fabric) == []


def test_a_pass_reads_a_bounded_part_and_the_next_goes_on_there() -> None:
    fabric = verified(350)
    log, mark = RecordingLog(fabric.log), mark_of(fabric)
    again = Round(log, expires=False, now_ms=fabric.clock.now_ms(), units=limits.ROUND_READ_UNITS)
    again.units_left = 150
    part, broken = again.go_on(LANE, mark)
    assert (broken, part.again, len(log.reads), part.rounds) == (None, 200, 2, 0)
    again.units_left = 1_000
    done, broken = again.go_on(LANE, part)
    assert (broken, done.again, len(log.reads), done.rounds) == (None, 0, 4, 1)
    assert done.whole_ms == fabric.clock.now_ms()


def test_what_a_part_does_not_use_of_its_share_is_left_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MARKS_ITEM_LANES", 1)
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 2)
    fabric = SubscribedStream(lanes=2)
    for number in range(12):
        fabric.put(event(f"a{number}"), of=lane(1))
    fabric.relay_all()
    fabric.deliver_all()
    fabric.cloud.replicate()
    assert reconciled(fabric) == []
    fabric.clock.advance(limits.ROUND_SECONDS + 1)
    monkeypatch.setattr(limits, "ROUND_READ_UNITS", 8)
    assert reconciled(fabric) == []
    mark = fabric.ledger.marks(fabric.bell().stream, LANE.origin).of(lane(1).index)
    assert mark.again == 6, "three pages of two records, for 3 units each"


def test_its_age_is_measured_while_a_round_is_due_and_ends_with_it() -> None:
    fabric = verified(5)
    reconciled(fabric)
    assert age_seconds(fabric) is None
    assert mark_of(fabric).rounds == 1
    fabric.ledger.mark(
        fabric.bell().stream,
        LANE.origin,
        marks := fabric.ledger.marks(fabric.bell().stream, LANE.origin),
        replace(marks, lanes={LANE.index: replace(mark_of(fabric), again=SequenceNumber(1), whole_ms=1)}),
    )
    assert Round(
        fabric.log, expires=False, now_ms=fabric.clock.now_ms(), units=limits.ROUND_READ_UNITS
    ).is_due(mark_of(fabric))


def test_what_has_expired_is_not_missed() -> None:
    fabric = verified(3, retention_days=DAYS)
    for number in range(3 * DAYS):
        fabric.put(event(f"b{number}"))
        fabric.deliver()
        fabric.cloud.replicate()
        assert (reconciled(fabric), reconciled(fabric.in_region(AWAY))) == ([], [])
        fabric.clock.advance(DAY_SECONDS)
        expire(fabric)
    assert mark_of(fabric).rounds > DAYS


@pytest.mark.parametrize("retention_days", [None, 60])
@pytest.mark.parametrize("removed", [3, 4, 6])
def test_what_is_removed_where_a_pass_left_off_is_found_too(
    monkeypatch: pytest.MonkeyPatch, retention_days: int | None, removed: int
) -> None:
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 2)
    monkeypatch.setattr(limits, "ROUND_READ_UNITS", 5)
    fabric = verified(12, retention_days=retention_days)
    whole = fabric.records()
    delete(fabric, whole[removed])
    kinds: set[FindingKind] = set()
    boundaries: set[int] = set()
    for _ in range(12):
        kinds.update(reconciled(fabric))
        boundaries.add(mark_of(fabric).again)
        fabric.clock.advance(limits.ROUND_SECONDS / 7)
    assert 4 in boundaries
    assert kinds == {FindingKind.HOLE}
    assert fabric.records() == whole
