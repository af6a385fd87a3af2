"""Lanes that were split are mended and looked at as others are: from where they begin, and with their children."""

import pytest

from eventfabric import Operations
from eventfabric.errors import QuarantineRefusedError, RestoreRefusedError, SkipRefusedError
from eventfabric.model import Lane, Record, SequenceNumber
from eventfabric.model.finding import FindingKind
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.operations.observation import Extent, Observation
from eventfabric.services.operations.skip import Skip
from eventfabric.testing.memory.log import MemoryLog
from eventfabric.typed.newest import newest_events
from tests.support.expiry import reconciled
from tests.support.log_items import delete, forged, put, quarantine_of
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, lane
from tests.support.split_stream import LEFT, RIGHT, SplitStream, key_of
from tests.unit.services.operations.test_restore import restore_of

LOW, HIGH = key_of(LEFT), key_of(RIGHT)


def split_stream() -> SplitStream:
    """A lane with one event, which was split; its left child has two records, its right child one."""
    fabric = SplitStream()
    fabric.publish("l0", key=LOW)
    fabric.split()
    for name, key in (("l1", LOW), ("h1", HIGH), ("l2", LOW)):
        fabric.clock.advance(1)
        fabric.publish(name, key=key)
    return fabric


def skip_of(fabric: SplitStream) -> Skip:
    return Operations(fabric.topology, fabric.region, fabric.ports()).skip(STREAM)


def lose(fabric: SplitStream, record: Record) -> None:
    """Remove a record in every Region."""
    fabric.cloud.replicate()
    for region in (HOME, AWAY):
        other = fabric.in_region(region)
        delete(other, record)
    fabric.cloud.replicate()


def copied(fabric: SplitStream) -> MemoryLog:
    """Return a copy of all lanes as they are."""
    copy = SplitStream().log
    for own in (LANE, LEFT, RIGHT):
        for record in fabric.records(own):
            assert copy.append(record) is None
    return copy


def test_a_child_whose_first_record_is_lost_goes_on_behind_it() -> None:
    fabric = split_stream()
    first = fabric.records(LEFT)[0]
    fabric.run_all()
    lose(fabric, first)
    gap = skip_of(fabric).look(LEFT, first.sequence)
    assert (gap.events, gap.until.sequence) == (1, first.sequence + 1)
    skip_of(fabric).skip(LEFT, first.sequence, by="ana", reason="no backup has it")
    assert reconciled(fabric) == []


def test_nothing_is_skipped_behind_a_seal_or_in_a_lane_that_is_none() -> None:
    fabric = split_stream()
    with pytest.raises(SkipRefusedError, match="the lane ends there: it was split"):
        skip_of(fabric).look(LANE, fabric.tail_of(LANE).sequence)
    with pytest.raises(SkipRefusedError, match=f"lane {LEFT} was not split"):
        skip_of(fabric).look(LEFT.children[0], SequenceNumber(5))


@pytest.mark.parametrize(("of", "number"), [(LANE, 1), (LEFT, 0), (LEFT, 1)])
def test_a_seal_or_a_record_of_a_child_that_is_lost_is_put_back(of: Lane, number: int) -> None:
    fabric = split_stream()
    fabric.run_all()
    assert reconciled(fabric) == []
    copy, lost = copied(fabric), fabric.records(of)[number]
    lose(fabric, lost)
    restore = restore_of(fabric, copy)
    assert restore.look(of, lost.sequence).record == lost
    restore.restore(of, lost.sequence, by="ana", reason="a script's mistake")
    assert fabric.records(of)[number] == lost
    assert reconciled(fabric) == []
    with pytest.raises(RestoreRefusedError, match="as it is in the copy"):
        restore.look(of, lost.sequence)


def test_a_seal_that_a_region_has_lost_comes_back_from_another() -> None:
    fabric = split_stream()
    fabric.run_all()
    fabric.cloud.replicate()
    assert reconciled(fabric) == []
    delete(fabric, fabric.records(LANE)[1])
    assert reconciled(fabric) == [FindingKind.HOLE]
    assert fabric.log.tail(LANE).is_sealed


def test_what_does_not_belong_to_a_child_is_set_aside_and_its_own_is_kept() -> None:
    fabric = split_stream()
    first = fabric.records(LEFT)[0]
    with pytest.raises(QuarantineRefusedError, match="the lane's own"):
        quarantine_of(fabric).fault(LEFT, first.sequence)
    with pytest.raises(QuarantineRefusedError, match="the lane's own"):
        quarantine_of(fabric).fault(LANE, SequenceNumber(1))
    stray = forged(fabric, fabric.tail_of(LANE).sequence)
    put(fabric, stray)
    assert "does not extend" in quarantine_of(fabric).fault(LANE, stray.sequence)


def test_an_observation_sees_the_events_of_every_lane() -> None:
    fabric = split_stream()

    def tell(error: object) -> None:
        raise AssertionError(error)

    observation = Observation(fabric.log, lanes_of(fabric.stream), Extent(), tell)
    looked, read = [*observation.look()], [*observation.read()]
    assert {*looked} == {*lanes_of(fabric.stream), LEFT, RIGHT}
    assert {*read} >= {LANE, LEFT}
    assert (observation.events, observation.is_whole) == (4, True)


def test_the_newest_events_come_first_across_seals() -> None:
    fabric = split_stream()
    seen = [event.id for event, _ in newest_events(fabric.log, [LANE, lane(1)], unreadable=print)]
    assert seen == ["l2", "h1", "l1", "l0"]
