"""Losses that a lane may pass by an operator's decision, and those that it may not."""

from dataclasses import replace

import pytest

from eventfabric.errors import (
    DivergenceError,
    RestoreRefusedError,
    SkipRefusedError,
    UncertainTailError,
    UndecodableRecordError,
)
from eventfabric.model.finding import FindingKind
from eventfabric.model.identity import BatchId, SequenceNumber
from eventfabric.model.parked import ParkedState
from eventfabric.model.proof import ExceptionKind
from eventfabric.model.record import InterventionKind, Record
from eventfabric.model.start import AtSequence
from eventfabric.ports import Log
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.operations.skip import Skip
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire import record_item
from tests.support.appends import mine
from tests.support.expiry import reconciled
from tests.support.failing_handlers import Failing, world_of
from tests.support.log_items import delete, put, world_with
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event
from tests.support.subscribed_stream import SubscribedStream
from tests.support.tampered_logs import proof
from tests.unit.services.operations.test_restore import copy_of, restore_of


def skip_of(world: SubscribedStream) -> Skip:
    return Operations(world.topology, world.region, world.ports()).skip(STREAM)


def lose(world: SubscribedStream, *numbers: int) -> list[Record]:
    """Remove records in every Region; all of those that there were."""
    world.cloud.replicate()
    records = world.records()
    for region in (HOME, AWAY):
        for number in numbers:
            delete(world.at(region), records[number])
    world.cloud.replicate()
    return records


def deliver(world: SubscribedStream) -> None:
    while world.relay():
        pass
    world.deliver()


def skipped(count: int, *numbers: int) -> SubscribedStream:
    """A lane of so many records, past some of which an operator had it go on."""
    world = world_with(count)
    lose(world, *numbers)
    skip_of(world).skip(LANE, SequenceNumber(numbers[0]), by="ana", reason="no backup has it")
    world.cloud.replicate()
    return world


@pytest.mark.parametrize("numbers", [(2,), (2, 3, 4), (0,)])
def test_every_subscription_goes_on_behind_what_was_skipped_in_order(numbers: tuple[int, ...]) -> None:
    world = world_with(7)
    lose(world, *numbers)
    deliver(world)
    assert world.recorder.ids() == [f"a{number}" for number in range(numbers[0])]
    gap = skip_of(world).look(LANE, SequenceNumber(numbers[0]))
    assert (gap.events, gap.until.sequence) == (len(numbers), numbers[-1] + 1)
    skip_of(world).skip(LANE, SequenceNumber(numbers[0]), by="ana", reason="no backup has it")
    deliver(world)
    assert world.recorder.ids() == [f"a{number}" for number in range(7) if number not in numbers]
    assert world.cursor().sequence == 7


def test_reconciliation_of_every_region_accepts_it_and_new_events_go_on() -> None:
    world = skipped(6, 2, 3)
    assert reconciled(world) == []
    assert reconciled(world.at(AWAY)) == []
    assert world.at(AWAY).records() == world.records()
    appended = world.appender().append(LANE, mine())
    assert appended.sequence == 6
    deliver(world)
    assert reconciled(world) == []


def test_it_is_proven_but_for_what_was_skipped() -> None:
    world = skipped(6, 2, 3)
    deliver(world)
    lane_proof = proof(world)
    assert (lane_proof.is_proven, lane_proof.stuck, lane_proof.events, lane_proof.skipped) == (
        True,
        None,
        4,
        2,
    )
    (exemption,) = lane_proof.exceptions
    assert (exemption.kind, exemption.sequence, exemption.events, exemption.by) == (
        ExceptionKind.SKIPPED,
        2,
        2,
        "ana",
    )
    assert exemption.why == "no backup has it"


@pytest.mark.parametrize("stands_at", [3, 4, 5, 6])
def test_a_cursor_that_had_passed_what_was_lost_later_is_proven_and_goes_on(stands_at: int) -> None:
    world = world_with(stands_at)
    deliver(world)
    for number in range(stands_at, 7):
        world.put(event(f"a{number}"))
    lose(world, 2, 3, 4)
    skip_of(world).skip(LANE, SequenceNumber(2), by="ana", reason="no backup has it")
    lane_proof = proof(world)
    assert (lane_proof.is_proven, lane_proof.stuck) == (True, None)
    assert lane_proof.skipped == min(stands_at, 5) - 2
    assert reconciled(world) == []
    deliver(world)
    assert world.recorder.ids()[stands_at:] == [f"a{number}" for number in range(max(5, stands_at), 7)]
    lane_proof = proof(world)
    assert (lane_proof.is_proven, lane_proof.skipped, lane_proof.cursor.sequence) == (True, 3, 7)
    assert reconciled(world) == []


def test_a_replay_comes_past_it_and_hands_out_the_rest_again() -> None:
    world = skipped(6, 2)
    deliver(world)
    replay = Operations(world.topology, HOME, world.ports()).replay(world.subscription.name)
    for plan in replay.plan(AtSequence(SequenceNumber(0))):
        replay.carry_out(plan)
    world.deliver()
    assert world.recorder.ids()[5:] == ["a0", "a1", "a3", "a4", "a5"]
    assert proof(world).is_proven


def test_what_was_parked_and_is_lost_is_a_dead_letter() -> None:
    world = world_of(Failing({"a1": 9}))
    for name in ("a0", "a1", "b2"):
        world.put(event(name, key=name[0]))
    deliver(world)
    lose(world, 1)
    skip_of(world).skip(LANE, SequenceNumber(1), by="ana", reason="no backup has it")
    due_ms = world.parked()["a"].due_ms
    world.clock.advance((due_ms - world.clock.now_ms()) / 1000 + 1)
    world.deliver()
    assert world.parked()["a"].state is ParkedState.DEAD
    assert proof(world).is_proven


class TestNothingElsePasses:
    """A hole is passed only by the skip that was made for it."""

    def forged(self, world: SubscribedStream, **changes: object) -> Record:
        gap = world_with(6)
        lose(gap, 2)
        skip_of(gap).skip(LANE, SequenceNumber(2), by="ana", reason="-")
        made = next(record for record in gap.records() if record.is_skip)
        return replace(made, **changes)  # type: ignore[arg-type]

    def test_a_skip_behind_another_record_is_a_divergence(self) -> None:
        world = world_with(6)
        lose(world, 2)
        put(world, self.forged(world, batch_id=BatchId(b"?" * 16)))
        world.relay()
        result = world.deliver()
        assert (result.outcome, type(result.cause)) == (LaneOutcome.STOPPED, DivergenceError)
        assert world.recorder.ids() == ["a0", "a1"]
        assert reconciled(world) == [FindingKind.DIVERGENCE]

    def test_another_record_behind_it_than_it_was_made_for_is_a_divergence(self) -> None:
        world = skipped(6, 2)
        put(world, replace(world.records()[3], types=frozenset({"Changed"})))
        world.relay()
        world.deliver()
        assert world.recorder.ids() == ["a0", "a1"]
        assert reconciled(world) == [FindingKind.DIVERGENCE]

    def test_one_that_is_longer_or_shorter_than_what_is_lost_leads_nowhere(self) -> None:
        for count in (1, 3):
            world = world_with(6)
            lose(world, 2, 3)
            put(world, self.forged(world, count=count))
            world.relay()
            world.deliver()
            assert world.recorder.ids() == ["a0", "a1"]

    def test_an_item_without_types_that_holds_something_is_no_skip(self) -> None:
        item = record_item.to_item(world_with(1).records()[0])
        del item["t"]
        with pytest.raises(UndecodableRecordError, match="attribute t"):
            record_item.from_item(item)

    def test_nothing_is_appended_right_behind_it(self) -> None:
        world = skipped(4, 2)
        delete(world, world.records()[3])
        with pytest.raises(UncertainTailError, match="lanes restore"):
            world.appender().append(LANE, mine())


class TestRefused:
    """Records that are not lost are not skipped."""

    @pytest.mark.parametrize(("sequence", "said"), [(1, "nothing is missing"), (3, "nothing is missing")])
    def test_where_nothing_is_missing(self, sequence: int, said: str) -> None:
        world = world_with(6)
        lose(world, 2)
        with pytest.raises(SkipRefusedError, match=said):
            skip_of(world).look(LANE, SequenceNumber(sequence))

    def test_where_another_region_has_it(self) -> None:
        world = world_with(6)
        world.cloud.replicate()
        delete(world, world.records()[2])
        before = world.table.items
        with pytest.raises(SkipRefusedError, match=f"{AWAY} has 2"):
            skip_of(world).skip(LANE, SequenceNumber(2), by="ana", reason="-")
        assert world.table.items == before

    def test_where_another_region_does_not_answer(self) -> None:
        world = world_with(6)
        lose(world, 2)
        faults = Faults(nth(1, Fault.THROTTLED, name="log.read"))

        def away() -> Log:
            return faults.log(world.at(AWAY).log)

        skip = Skip(
            world.log,
            region=HOME,
            elsewhere={AWAY: away},
            known_seams=lambda lane: (),
            retention_seconds=None,
            clock=world.clock,
        )
        with pytest.raises(SkipRefusedError, match="does not answer"):
            skip.look(LANE, SequenceNumber(2))

    def test_where_the_lane_is_not_written_and_without_a_reason(self) -> None:
        world = world_with(6)
        lose(world, 2)
        with pytest.raises(SkipRefusedError, match=HOME):
            skip_of(world.at(AWAY)).look(LANE, SequenceNumber(2))
        with pytest.raises(SkipRefusedError, match="--reason"):
            skip_of(world).skip(LANE, SequenceNumber(2), by="ana", reason=" ")

    def test_a_skip_is_not_taken_back_by_a_restore(self) -> None:
        world = world_with(6)
        copy = copy_of(world)
        lose(world, 2)
        skip_of(world).skip(LANE, SequenceNumber(2), by="ana", reason="-")
        with pytest.raises(RestoreRefusedError, match="continues the lane"):
            restore_of(world, copy).look(LANE, SequenceNumber(2))


def test_what_is_lost_at_the_end_is_skipped_as_far_as_a_cursor_knows_and_publishing_goes_on() -> None:
    world = world_with(5)
    deliver(world)
    lose(world, 3, 4)
    skip_of(world).skip(LANE, SequenceNumber(3), by="ana", reason="no backup has it")
    assert world.appender().append(LANE, mine()).sequence == 5
    deliver(world)
    assert (proof(world).is_proven, proof(world).skipped) == (True, 2)
    assert reconciled(world) == []


def test_the_end_of_a_lane_is_no_hole_where_nobody_knows_more() -> None:
    world = world_with(5)
    lose(world, 4)
    with pytest.raises(SkipRefusedError, match="nobody was seen further on"):
        skip_of(world).look(LANE, SequenceNumber(4))


def test_a_record_that_a_skip_names_comes_back_by_it() -> None:
    world = skipped(4, 2)
    copy = copy_of(world)
    records = world.records()
    delete(world, records[3])
    restore_of(world, copy).restore(LANE, SequenceNumber(3), by="ana", reason="")
    assert world.records() == records


@pytest.mark.parametrize("call", ["note", "append"])
@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_one_that_was_interrupted_goes_on(call: str, fault: Fault) -> None:
    world = world_with(6)
    lose(world, 2)
    faults = Faults(nth(1, fault, name=f"log.{call}"))
    broken = Skip(
        faults.log(world.log),
        region=HOME,
        elsewhere={},
        known_seams=lambda lane: (),
        retention_seconds=None,
        clock=world.clock,
    )
    with pytest.raises(SimulatedCrash):
        broken.skip(LANE, SequenceNumber(2), by="ana", reason="-")
    if not any(record.is_skip for record in world.records()):
        skip_of(world).skip(LANE, SequenceNumber(2), by="ana", reason="-")
    deliver(world)
    assert world.cursor().sequence == 6
    assert [intervention.kind for intervention in world.log.interventions(LANE)] == [InterventionKind.SKIPPED]


def test_a_cursor_within_a_skip_at_a_lanes_end_goes_on_to_the_end_and_is_not_stuck_before() -> None:
    world = world_with(4)
    deliver(world)
    for number in (4, 5):
        world.put(event(f"a{number}"))
    reconciled(world)  # knows the lane up to its end
    lose(world, 3, 4, 5)
    assert world.cursor().sequence == 4
    skipped = skip_of(world).skip(LANE, SequenceNumber(3), by="ana", reason="gone")
    assert skipped.until.sequence == 6
    assert reconciled(world) == []
    deliver(world)
    assert world.cursor().sequence == 6
    assert proof(world).is_proven


def test_a_skip_is_not_taken_back_where_what_is_behind_it_is_lost_too() -> None:
    world = world_with(7)
    copy = copy_of(world)
    lose(world, 2)
    skip_of(world).skip(LANE, SequenceNumber(2), by="ana", reason="no copy has it")
    world.cloud.replicate()
    lose(world, 3)
    with pytest.raises(RestoreRefusedError, match="it was skipped"):
        restore_of(world, copy).restore(LANE, SequenceNumber(2), by="bob", reason="")
