"""Backfills of lanes that were split: children follow their parents, and begin behind the seal."""

from collections.abc import Iterable

import pytest

from eventfabric.errors import BackfillError
from eventfabric.model import Lane, SequenceNumber, seal_at, tail_behind
from eventfabric.model.backfill import LaneRange, Planned, Report
from eventfabric.services.backfill.request import BackfillRequest
from eventfabric.services.backfill.turns import ranges_in_turn
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import LANE, STREAM, lane

LEFT, RIGHT = LANE.children


def split(fabric: BackfillRegions, of: Lane) -> None:
    """End a lane of the source by a seal."""
    log = fabric.log(SOURCE)
    tail = log.tail(of) if log.tail(of).sequence else tail_behind(log.tail(of.parent))
    assert log.append(seal_at(tail, of, now_ms=fabric.clock.now_ms())) is None


def fill(fabric: BackfillRegions, of: Lane, count: int) -> None:
    """Put records of 100 events behind the seal of a lane's parent."""
    log, tail = fabric.log(SOURCE), tail_behind(fabric.log(SOURCE).tail(of.parent))
    for record in fabric.fill(count, of=of, start=tail):
        assert log.tail(of).sequence >= record.sequence


def tree() -> BackfillRegions:
    fabric = BackfillRegions(lanes=2)
    fabric.fill(3)
    split(fabric, LANE)
    fill(fabric, LEFT, 2)
    split(fabric, LEFT)
    fill(fabric, LEFT.children[1], 1)
    fill(fabric, RIGHT, 4)
    fabric.fill(2, of=lane(1))
    return fabric


LANES = [LANE, LEFT, LEFT.children[1], RIGHT, lane(1)]


def backfill(fabric: BackfillRegions, *ranges: LaneRange) -> Report:
    """Run a backfill to its end."""
    fabric.clock.advance(1)  # ids are made of the time
    begun = fabric.begin(*ranges)
    fabric.run(begun)
    return fabric.backfiller().report(begun.id)


def test_all_lanes_of_a_tree_are_copied() -> None:
    fabric = tree()
    report = backfill(fabric)
    assert report.is_complete
    source, target = fabric.log(SOURCE), fabric.log(TARGET)
    assert {own: target.tail(own) for own in LANES} == {own: source.tail(own) for own in LANES}
    assert set(report.lanes) == {*LANES}
    assert backfill(fabric).total.copied_records == 0


def test_planning_goes_on_behind_each_lane_of_a_tree() -> None:
    children = {LANE: LANE.children, LEFT: LEFT.children}
    stream = tree().topology.stream(STREAM)

    def left(planned: Planned | None) -> list[Lane]:
        ranges = ranges_in_turn(stream, (), lambda own: children.get(own, ()), planned)
        return [range_.lane for range_ in ranges if range_.lane.origin == SOURCE]

    every = [LANE, LEFT, *LEFT.children, RIGHT, lane(1)]
    assert left(None) == every
    for number, own in enumerate(every):
        assert left(Planned(own, SequenceNumber(7))) == every[number:]


@pytest.mark.parametrize("count", [1, 2, 100])
def test_planning_in_many_calls_finds_every_lane_once(count: int) -> None:
    fabric = tree()
    backfiller = fabric.backfiller()
    id_ = backfiller.begin(BackfillRequest(STREAM, SOURCE)).id
    more, lanes = None, list[Lane]()
    while True:
        handed = backfiller.hand_out(id_, more, count=count)
        lanes += [progress.slice.lane for progress in handed.slices]
        more = handed.more
        if more is None:
            break
    assert sorted(set(lanes)) == sorted(LANES)


def copied(fabric: BackfillRegions, texts: Iterable[str]) -> list[Lane]:
    ranges = tuple(map(LaneRange.parse, texts))
    return sorted(backfill(fabric, *ranges).lanes)


def test_a_child_alone_is_copied_from_its_seal_on() -> None:
    fabric = tree()
    assert copied(fabric, [str(RIGHT)]) == [RIGHT]
    assert fabric.log(TARGET).tail(RIGHT) == fabric.log(SOURCE).tail(RIGHT)
    assert copied(fabric, [f"{LEFT}@401-501"]) == [LEFT]


def test_a_lane_that_no_split_can_have_made_is_refused() -> None:
    with pytest.raises(BackfillError, match="into which they were split"):
        copied(tree(), ["us-east-1/1.9"])
