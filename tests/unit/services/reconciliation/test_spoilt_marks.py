"""Marks that cannot be read: they stop who needs them and nobody else, say what mends that, and a repair does."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import UncertainTailError, UndecodableItemError
from eventfabric.model import (
    LaneIndex,
    Mark,
    Marks,
    Region,
    SequenceNumber,
    Sighting,
    Sightings,
    StreamName,
)
from eventfabric.model.finding import FindingKind
from eventfabric.services.operations.seams import known_seams
from eventfabric.services.publishing.lane_ends import KnownMarks
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.wire.keys import Item
from eventfabric.wire.marks_item import changed_items, from_items
from tests.support.memory_fabric import HOME, STREAM, event, lane
from tests.support.producers import producer
from tests.support.subscribed_stream import SubscribedStream

ORDERS = StreamName(STREAM)
MAIN, OF_BILLING = "0000", "0000/billing"
SPOILED: list[Item] = [{"m": {"B": b"\xc1"}}, {"v": {"S": "x"}}, {"v": {"N": str(2**60)}}]


def with_marks() -> SubscribedStream:
    """Lanes 0 and 1 have an event each, the others none; all was reconciled."""
    fabric = SubscribedStream(retention_days=2, lanes=8)
    for index in (0, 1):
        fabric.put(event(f"a{index}"), of=lane(index))
    fabric.relay_all()
    fabric.deliver_all()
    findings_in(fabric)
    return fabric


def findings_in(fabric: SubscribedStream, *, repair: bool = True) -> list[tuple[FindingKind, bool]]:
    reconciler = Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=fabric.telemetry)
    return [(finding.kind, finding.is_repaired) for finding in reconciler.run(repair=repair)]


def spoil(fabric: SubscribedStream, part: str, change: Item) -> None:
    table = fabric.cloud.regions[HOME].table(fabric.topology.ledger.name)
    for item in table.items:
        if item["sk"]["S"] == f"{HOME}/marks/{part}" and item["pk"]["S"].endswith(f"/{HOME}"):
            table.write("Put", {"Item": {**item, **change}})


def known(fabric: SubscribedStream) -> Callable[[int], Mark]:
    marks = KnownMarks(fabric.ledger, ORDERS, clock=fabric.clock)
    return lambda index: marks.of(lane(index))


def test_where_one_subscription_stood_is_not_needed_for_lanes_of_which_nothing_is_remembered() -> None:
    fabric = with_marks()
    spoil(fabric, OF_BILLING, SPOILED[0])
    taken = {producer(fabric).publish(STREAM, key=f"k{n}", type="T").lane.index for n in range(40)}
    assert taken == set(range(8))
    assert known(fabric)(5) == Mark()
    with pytest.raises(UncertainTailError, match=f"reconcile {HOME} with --repair"):
        known(fabric)(0)


def test_lanes_whose_own_marks_cannot_be_read_say_what_mends_that() -> None:
    fabric = with_marks()
    spoil(fabric, MAIN, SPOILED[0])
    for index in (0, 5):
        with pytest.raises(UncertainTailError, match=r"field m.*--repair, which writes that anew"):
            known(fabric)(index)


@pytest.mark.parametrize("part", [MAIN, OF_BILLING])
@pytest.mark.parametrize("change", SPOILED, ids=str)
def test_a_repair_writes_what_cannot_be_read_anew(part: str, change: Item) -> None:
    fabric = with_marks()
    before = fabric.ledger.marks(ORDERS, HOME).lanes
    spoil(fabric, part, change)
    assert findings_in(fabric, repair=False) == [(FindingKind.UNREADABLE, False)]
    assert list(fabric.ledger.marks(ORDERS, HOME).unreadable) == [part]
    assert findings_in(fabric) == [(FindingKind.UNREADABLE, True)]
    after = fabric.ledger.marks(ORDERS, HOME)
    assert after.unreadable == {}
    assert {index: mark.sequence for index, mark in after.lanes.items()} == {
        index: mark.sequence for index, mark in before.items()
    }
    assert findings_in(fabric) == []
    assert known(fabric)(0).sequence == 1


def test_lanes_of_another_part_are_not_read_from_an_item() -> None:
    (item, _), *_ = changed_items(ORDERS, HOME, HOME, Marks(), Marks({LaneIndex(0): Mark(SequenceNumber(4))}))
    moved = {**item, "sk": {"S": f"{HOME}/marks/0001"}}
    assert list(from_items([moved]).unreadable) == ["0001"]
    assert from_items([moved]).lanes == {}


def test_a_part_costs_its_own_lanes_alone() -> None:
    far = LaneIndex(limits.MARKS_ITEM_LANES)
    marks = Marks({LaneIndex(0): Mark(SequenceNumber(4)), far: Mark(SequenceNumber(7))})
    items = [item for item, _ in changed_items(ORDERS, HOME, HOME, Marks(), marks)]
    items[0]["m"] = {"B": b"\xc1"}
    read = from_items(items)
    assert read.lanes == {far: Mark(SequenceNumber(7))}
    assert read.doubt(LaneIndex(1)) is not None
    assert read.doubt(far) is None


def test_a_proof_of_where_a_lane_was_asks_for_its_own_marks_only() -> None:
    fabric = with_marks()
    spoil(fabric, OF_BILLING, SPOILED[0])
    assert known_seams(fabric.stream, lane(0), ledger=fabric.ledger)
    spoil(fabric, MAIN, SPOILED[0])
    with pytest.raises(UndecodableItemError, match="field m"):
        known_seams(fabric.stream, lane(0), ledger=fabric.ledger)


def test_another_regions_marks_are_another_matter() -> None:
    fabric = with_marks()
    spoil(fabric, MAIN, SPOILED[0])
    assert fabric.ledger.marks(ORDERS, Region("eu-west-1")).unreadable == {}


def test_times_in_a_mark_that_lie_ahead_of_the_clock_hold_up_no_round_and_hide_no_age() -> None:
    fabric, index = with_marks(), LaneIndex(0)
    read = fabric.ledger.marks(ORDERS, HOME)
    ahead_ms = fabric.clock.now_ms() + 10 * 365 * 86_400_000
    seen = Sightings((Sighting(SequenceNumber(1), ahead_ms),))
    mark = replace(read.of(index), since_ms=ahead_ms, whole_ms=ahead_ms, sightings=seen)
    fabric.ledger.mark(ORDERS, HOME, read, Marks({**read.lanes, index: mark}))
    assert findings_in(fabric) == []
    after = fabric.ledger.marks(ORDERS, HOME).of(index)
    assert (after.rounds, after.since_ms) == (1, 0)
    assert after.whole_ms <= fabric.clock.now_ms()
    assert all(sighting.at_ms <= fabric.clock.now_ms() for sighting in after.sightings.seen)


def test_a_cursor_that_a_clock_ahead_has_dated_is_rung_for_all_the_same() -> None:
    fabric = with_marks()
    fabric.put(event("b"), of=lane(0))
    table = fabric.cloud.regions[HOME].table(fabric.topology.ledger.name)
    written_ms = str(fabric.clock.now_ms() + 86_400_000)
    for item in table.items:
        if item["sk"]["S"].startswith(f"{HOME}/cursor"):
            table.write("Put", {"Item": {**item, "u": {"N": written_ms}}})
    fabric.clock.advance(limits.UNRUNG_SECONDS + 1)
    findings_in(fabric)  # sees the event
    fabric.clock.advance(limits.UNRUNG_SECONDS + 1)
    assert (FindingKind.UNRUNG, True) in findings_in(fabric)
