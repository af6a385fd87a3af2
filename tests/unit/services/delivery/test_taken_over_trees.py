"""Takeovers of lanes that were split: root first, and of each child what was begun by the passing above it."""

from dataclasses import replace
from itertools import count

from eventfabric.model import (
    START,
    Batch,
    BatchId,
    Decision,
    Lane,
    Note,
    Passing,
    SequenceNumber,
    record_at,
    seal_at,
)
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.delivery.seals import counts
from eventfabric.testing.memory.faults import Fault, SimulatedCrash, nth
from eventfabric.wire.keys import is_parked, ledger_region_and_kind
from tests.support.failing_handlers import Failing, retry
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, batch_of, event
from tests.support.recording_handler import Recorder
from tests.support.split_stream import LEFT, RIGHT, SplitStream, key_of
from tests.support.subscribed_stream import SubscribedStream

DEAD_AT_ONCE = retry(immediate=0, attempts=1)
BATCH = BatchId(b"b" * 16)


def taken_over(fabric: SplitStream, failing: Failing | None = None, *, epoch: int = 1) -> SubscribedStream:
    """Hand the lanes over to AWAY, ring their root, and deliver there."""
    away = fabric.in_region(AWAY, handler=Recorder(before=failing or Failing({})))
    hand_over(away, epoch=epoch)
    away.ring_all([LANE])
    away.deliver_all()
    return away


def passed(failing: dict[str, int] | None = None, **settings: object) -> SplitStream:
    """Return a stream whose first lane was split and passed, with events on both sides of the seal."""
    fabric = SplitStream(handler=Recorder(before=Failing(failing or {})), **settings)  # type: ignore[arg-type]  # any
    for name, key in (("l0", LEFT), ("r0", RIGHT)):
        fabric.publish(name, key=key_of(key))
    fabric.split()
    for name, key in (("l1", LEFT), ("r1", RIGHT)):
        fabric.publish(name, key=key_of(key))
    fabric.relay_all()
    fabric.answer(fabric.receive())
    return fabric


def without_parked_in(fabric: SplitStream, lane: Lane) -> None:
    """Take the former owner's parked keys of a lane from AWAY's ledger, as if they had not been replicated yet."""
    table = fabric.cloud.regions[AWAY].table(fabric.topology.ledger.name)
    for item in table.items:
        if is_parked(ledger_region_and_kind(item)[1]) and item["pk"]["S"] == str(fabric.key_of(lane)):
            table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})


def test_a_new_owner_goes_on_in_the_children_from_where_they_were() -> None:
    fabric = passed()
    fabric.deliver_all()
    fabric.cloud.replicate()
    fabric.publish("l2", key=key_of(LEFT))
    fabric.cloud.replicate()
    away = taken_over(fabric)
    assert away.recorder.ids() == ["l2"]
    assert away.cursor(LEFT).begun == fabric.cursor(LANE).past_seal
    assert {away.cursor(lane).epoch for lane in (LANE, LEFT, RIGHT)} == {1}


def test_a_child_of_which_nothing_is_here_begins_at_the_seal_with_the_keys_that_its_parent_names() -> None:
    fabric = passed({"l0": 99, "r0": 99}, **DEAD_AT_ONCE)
    fabric.cloud.replicate()
    fabric.cloud.cut(HOME)
    fabric.deliver_all()
    away = taken_over(fabric, Failing({"l0": 99}))
    assert away.recorder.ids() == []
    (left,), (right,) = away.parked(LEFT).values(), away.parked(RIGHT).values()
    assert [place.lane for place in (*left.waiting, *right.waiting)] == [LANE, None, LANE, None]
    assert away.cursor(LEFT).begun == away.cursor(LANE).past_seal


def test_a_childs_doorbell_alone_takes_nothing_over() -> None:
    fabric = passed()
    fabric.deliver_all()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    assert away.deliver(LEFT).outcome is LaneOutcome.NOT_BEGUN
    assert not away.cursor(LEFT).version
    assert not away.cursor(LANE).version


def test_where_the_parent_is_here_only_before_its_seal_the_children_begin_anew() -> None:
    """The former owner passed the seal, and its children came further; of that, only the children are here."""
    fabric = SplitStream()
    fabric.publish("l0", key=key_of(LEFT))
    fabric.deliver()
    fabric.cloud.replicate()
    fabric.split()
    fabric.publish("l1", key=key_of(LEFT))
    fabric.cloud.replicate()
    table = fabric.cloud.regions[AWAY].table(fabric.topology.ledger.name)
    before = [item for item in table.items if item["pk"]["S"] == str(fabric.key_of(LANE))]
    fabric.run_all()
    fabric.cloud.replicate()
    for item in before:
        table.write("Put", {"Item": item})
    away = taken_over(fabric)
    assert away.recorder.ids() == ["l1"]
    assert away.cursor(LEFT).begun == away.cursor(LANE).past_seal
    assert away.cursor(LANE).past_seal != fabric.cursor(LANE).past_seal


def test_keys_that_are_named_and_not_here_are_found_in_the_logs_of_lanes_above() -> None:
    fabric = passed({"l0": 99, "r0": 99, "l2": 99}, **DEAD_AT_ONCE)
    fabric.deliver_all()
    fabric.publish("l2", key=key_of(LEFT, 1))
    fabric.run_all()
    fabric.cloud.replicate()
    without_parked_in(fabric, LEFT)
    without_parked_in(fabric, RIGHT)
    away = taken_over(fabric)
    assert away.recorder.ids() == ["l0", "l1", "l2", "r0", "r1"]
    assert not away.parked(LEFT)
    assert not away.parked(RIGHT)


def test_a_childs_cursor_counts_only_beneath_the_very_passing_that_began_it() -> None:
    parent = replace(START, past_seal=Passing(HOME, 3, 7))
    assert counts(replace(START, begun=Passing(HOME, 3, 7)), parent)
    for other in (Passing(AWAY, 3, 7), Passing(HOME, 2, 7), Passing(HOME, 3, 6), None):
        assert not counts(replace(START, begun=other), parent)
    assert not counts(START, START)


def test_a_record_that_is_late_holds_a_child_up_until_it_comes() -> None:
    fabric = passed({"l0": 99}, **DEAD_AT_ONCE)
    fabric.deliver_all()
    fabric.cloud.replicate()
    without_parked_in(fabric, LEFT)
    table = fabric.cloud.log_table(fabric.stream.name, AWAY)
    (first,) = [item for item in table.items if item["sk"] == {"N": "0"} and item["pk"]["S"] == str(LANE)]
    table.write("Delete", {"Key": {"pk": first["pk"], "sk": first["sk"]}})
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away)
    assert away.deliver(LANE).outcome is LaneOutcome.HOLE
    table.write("Put", {"Item": first})
    away.ring_all([LANE])
    away.deliver_all()
    assert away.recorder.ids() == ["l0", "l1"]


def test_a_crash_after_any_call_of_a_takeover_loses_nothing() -> None:
    for number in count(1):
        fabric = passed({"l0": 99}, **DEAD_AT_ONCE)
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY, handler=Recorder())
        hand_over(away)
        away.ring_all([LANE])
        away.faults.rules.append(nth(len(away.faults.calls) + number, Fault.CRASH_AFTER))
        try:
            away.deliver_all()
        except SimulatedCrash:
            away.faults.heal()
            away.deliver_all()
        else:
            break
        assert {"r0", "r1"} == {*fabric.recorder.ids(), *away.recorder.ids()}
        assert [len(parked.waiting) for parked in away.parked(LEFT).values()] == [2]
    assert number > 10


class TestPartsOfBatches:
    """A batch was published in HOME without a reply, and again in AWAY, whose lane was split: in two parts."""

    def batch(self, *names: str) -> Batch:
        keys = {"l": key_of(LEFT), "r": key_of(RIGHT)}
        return batch_of([event(name, key=keys[name[0]]) for name in names], BATCH)

    def copies(self, *, is_here: bool) -> SplitStream:
        """Have both parts stand in AWAY's children, and the first copy in HOME's lane, from where it comes or not."""
        fabric = SplitStream(deliver="one", region=AWAY, delivered_in=AWAY)
        origin = Lane(AWAY, LANE.generation, LANE.index)
        away, now_ms = fabric.cloud.log("orders", AWAY), fabric.clock.now_ms()
        seal = seal_at(away.tail(origin), origin, now_ms=now_ms)
        assert away.append(seal) is None
        whole = self.batch("l0", "r0")
        first = record_at(
            fabric.cloud.log("orders", HOME).tail(LANE), LANE, whole, now_ms=now_ms, retention_seconds=None
        )
        for child, name in zip(origin.children, ("l0", "r0"), strict=True):
            noted = replace(self.batch(name), note=Note(LANE, SequenceNumber(0)))
            assert (
                away.append(record_at(seal.tail, child, noted, now_ms=now_ms, retention_seconds=None)) is None
            )
        if is_here:
            assert away.append(first) is None
        self.first, self.origin = first, origin
        return fabric

    def deliver(self, fabric: SplitStream, *lanes: Lane) -> list[str]:
        for lane in lanes:
            fabric.deliver(lane)
        return fabric.recorder.ids()

    def test_where_the_first_copy_is_here_both_parts_are_stepped_over(self) -> None:
        fabric = self.copies(is_here=True)
        assert self.deliver(fabric, self.origin, *self.origin.children) == []
        assert self.deliver(fabric, LANE) == ["l0", "r0"]

    def test_where_it_comes_later_both_parts_are_delivered_and_it_is_stepped_over(self) -> None:
        fabric = self.copies(is_here=False)
        assert self.deliver(fabric, self.origin, *self.origin.children) == ["l0", "r0"]
        assert fabric.cloud.log("orders", AWAY).append(self.first) is None
        assert self.deliver(fabric, LANE) == ["l0", "r0"]
        assert fabric.cursor(LANE).sequence == 2

    def test_of_the_first_copy_only_events_of_parts_that_won_are_stepped_over(self) -> None:
        fabric = self.copies(is_here=False)
        left, right = self.origin.children
        assert self.deliver(fabric, self.origin, left) == ["l0"]
        assert fabric.cloud.log("orders", AWAY).append(self.first) is None
        assert self.deliver(fabric, right) == ["l0"]
        assert self.deliver(fabric, LANE) == ["l0", "r0"]
        state = fabric.ledger.state(fabric.key_of(LANE))
        assert state.decisions == {
            Decision(AWAY, BATCH, noted_wins=True, part=left),
            Decision(AWAY, BATCH, noted_wins=False, part=right),
        }
