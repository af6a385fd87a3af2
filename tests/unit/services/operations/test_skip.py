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
from eventfabric.model import AtSequence, BatchId, InterventionKind, ParkedState, Record, SequenceNumber
from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import ExceptionKind
from eventfabric.ports import Log
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.operations.skip import Skip
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire import record_item
from tests.support.appends import mine
from tests.support.expiry import DAY_SECONDS, aged_fabric, expire, reconciled
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.log_items import delete, fabric_with, put
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event
from tests.support.subscribed_stream import SubscribedStream
from tests.support.tampered_logs import proof
from tests.unit.services.operations.test_restore import copy_of, restore_of


def skip_of(fabric: SubscribedStream) -> Skip:
    return Operations(fabric.topology, fabric.region, fabric.ports()).skip(STREAM)


def lose(fabric: SubscribedStream, *numbers: int) -> list[Record]:
    """Remove records in every Region; all of those that there were."""
    fabric.cloud.replicate()
    records = fabric.records()
    for region in (HOME, AWAY):
        for number in numbers:
            delete(fabric.in_region(region), records[number])
    fabric.cloud.replicate()
    return records


def deliver(fabric: SubscribedStream) -> None:
    while fabric.relay():
        pass
    fabric.deliver()


def skipped(count: int, *numbers: int) -> SubscribedStream:
    """A lane of so many records, past some of which an operator had it go on."""
    fabric = fabric_with(count)
    lose(fabric, *numbers)
    skip_of(fabric).skip(LANE, SequenceNumber(numbers[0]), by="ana", reason="no backup has it")
    fabric.cloud.replicate()
    return fabric


@pytest.mark.parametrize("numbers", [(2,), (2, 3, 4), (0,)])
def test_every_subscription_goes_on_behind_what_was_skipped_in_order(numbers: tuple[int, ...]) -> None:
    fabric = fabric_with(7)
    lose(fabric, *numbers)
    deliver(fabric)
    assert fabric.recorder.ids() == [f"a{number}" for number in range(numbers[0])]
    gap = skip_of(fabric).look(LANE, SequenceNumber(numbers[0]))
    assert (gap.events, gap.until.sequence) == (len(numbers), numbers[-1] + 1)
    skip_of(fabric).skip(LANE, SequenceNumber(numbers[0]), by="ana", reason="no backup has it")
    deliver(fabric)
    assert fabric.recorder.ids() == [f"a{number}" for number in range(7) if number not in numbers]
    assert fabric.cursor().sequence == 7


def test_reconciliation_of_every_region_accepts_it_and_new_events_go_on() -> None:
    fabric = skipped(6, 2, 3)
    assert reconciled(fabric) == []
    assert reconciled(fabric.in_region(AWAY)) == []
    assert fabric.in_region(AWAY).records() == fabric.records()
    appended = fabric.appender().append(LANE, mine())
    assert appended.sequence == 6
    deliver(fabric)
    assert reconciled(fabric) == []


def test_it_is_proven_but_for_what_was_skipped() -> None:
    fabric = skipped(6, 2, 3)
    deliver(fabric)
    lane_proof = proof(fabric)
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
    fabric = fabric_with(stands_at)
    deliver(fabric)
    for number in range(stands_at, 7):
        fabric.put(event(f"a{number}"))
    lose(fabric, 2, 3, 4)
    skip_of(fabric).skip(LANE, SequenceNumber(2), by="ana", reason="no backup has it")
    lane_proof = proof(fabric)
    assert (lane_proof.is_proven, lane_proof.stuck) == (True, None)
    assert lane_proof.skipped == min(stands_at, 5) - 2
    assert reconciled(fabric) == []
    deliver(fabric)
    assert fabric.recorder.ids()[stands_at:] == [f"a{number}" for number in range(max(5, stands_at), 7)]
    lane_proof = proof(fabric)
    assert (lane_proof.is_proven, lane_proof.skipped, lane_proof.cursor.sequence) == (True, 3, 7)
    assert reconciled(fabric) == []


def test_a_replay_comes_past_it_and_hands_out_the_rest_again() -> None:
    fabric = skipped(6, 2)
    deliver(fabric)
    replay = Operations(fabric.topology, HOME, fabric.ports()).replay(fabric.subscription.name)
    for plan in replay.plan(AtSequence(SequenceNumber(0))):
        replay.carry_out(plan)
    fabric.deliver()
    assert fabric.recorder.ids()[5:] == ["a0", "a1", "a3", "a4", "a5"]
    assert proof(fabric).is_proven


def test_what_was_parked_and_is_lost_is_a_dead_letter() -> None:
    fabric = fabric_of(Failing({"a1": 9}))
    for name in ("a0", "a1", "b2"):
        fabric.put(event(name, key=name[0]))
    deliver(fabric)
    lose(fabric, 1)
    skip_of(fabric).skip(LANE, SequenceNumber(1), by="ana", reason="no backup has it")
    due_ms = fabric.parked()["a"].due_ms
    fabric.clock.advance((due_ms - fabric.clock.now_ms()) / 1000 + 1)
    fabric.deliver()
    assert fabric.parked()["a"].state is ParkedState.DEAD
    assert proof(fabric).is_proven


class TestNothingElsePasses:
    """A hole is passed only by the skip that was made for it."""

    def forged(self, fabric: SubscribedStream, **changes: object) -> Record:
        gap = fabric_with(6)
        lose(gap, 2)
        skip_of(gap).skip(LANE, SequenceNumber(2), by="ana", reason="-")
        made = next(record for record in gap.records() if record.is_skip)
        return replace(made, **changes)  # type: ignore[arg-type]  # by name

    def test_a_skip_behind_another_record_is_a_divergence(self) -> None:
        fabric = fabric_with(6)
        lose(fabric, 2)
        put(fabric, self.forged(fabric, batch_id=BatchId(b"?" * 16)))
        fabric.relay()
        result = fabric.deliver()
        assert (result.outcome, type(result.cause)) == (LaneOutcome.STOPPED, DivergenceError)
        assert fabric.recorder.ids() == ["a0", "a1"]
        assert reconciled(fabric) == [FindingKind.DIVERGENCE]

    def test_another_record_behind_it_than_it_was_made_for_is_a_divergence(self) -> None:
        fabric = skipped(6, 2)
        put(fabric, replace(fabric.records()[3], types=frozenset({"Changed"})))
        fabric.relay()
        fabric.deliver()
        assert fabric.recorder.ids() == ["a0", "a1"]
        assert reconciled(fabric) == [FindingKind.DIVERGENCE]

    def test_one_that_is_longer_or_shorter_than_what_is_lost_leads_nowhere(self) -> None:
        for count in (1, 3):
            fabric = fabric_with(6)
            lose(fabric, 2, 3)
            put(fabric, self.forged(fabric, count=count))
            fabric.relay()
            fabric.deliver()
            assert fabric.recorder.ids() == ["a0", "a1"]

    def test_an_item_without_types_that_holds_something_is_no_skip(self) -> None:
        item = record_item.to_item(fabric_with(1).records()[0])
        del item["t"]
        with pytest.raises(UndecodableRecordError, match="attribute t"):
            record_item.from_item(item)

    def test_nothing_is_appended_right_behind_it(self) -> None:
        fabric = skipped(4, 2)
        delete(fabric, fabric.records()[3])
        with pytest.raises(UncertainTailError, match="lanes restore"):
            fabric.appender().append(LANE, mine())


class TestRefused:
    """Records that are not lost are not skipped."""

    @pytest.mark.parametrize(("sequence", "message"), [(1, "nothing is missing"), (3, "nothing is missing")])
    def test_where_nothing_is_missing(self, sequence: int, message: str) -> None:
        fabric = fabric_with(6)
        lose(fabric, 2)
        with pytest.raises(SkipRefusedError, match=message):
            skip_of(fabric).look(LANE, SequenceNumber(sequence))

    def test_where_what_is_missing_has_expired(self) -> None:
        fabric = aged_fabric()
        fabric.clock.advance(5 * DAY_SECONDS // 2)
        assert expire(fabric) == 3
        with pytest.raises(SkipRefusedError, match="has expired"):
            skip_of(fabric).look(LANE, SequenceNumber(0))

    def test_where_another_region_has_it(self) -> None:
        fabric = fabric_with(6)
        fabric.cloud.replicate()
        delete(fabric, fabric.records()[2])
        before = fabric.table.items
        with pytest.raises(SkipRefusedError, match=f"{AWAY} has 2"):
            skip_of(fabric).skip(LANE, SequenceNumber(2), by="ana", reason="-")
        assert fabric.table.items == before

    def test_where_another_region_does_not_answer(self) -> None:
        fabric = fabric_with(6)
        lose(fabric, 2)
        faults = Faults(nth(1, Fault.THROTTLED, name="log.read"))

        def away() -> Log:
            return faults.log(fabric.in_region(AWAY).log)

        skip = Skip(
            fabric.log,
            region=HOME,
            elsewhere={AWAY: away},
            known_seams=lambda lane: (),
            retention_seconds=None,
            clock=fabric.clock,
        )
        with pytest.raises(SkipRefusedError, match="does not answer"):
            skip.look(LANE, SequenceNumber(2))

    def test_where_the_lane_is_not_written_and_without_a_reason(self) -> None:
        fabric = fabric_with(6)
        lose(fabric, 2)
        with pytest.raises(SkipRefusedError, match=HOME):
            skip_of(fabric.in_region(AWAY)).look(LANE, SequenceNumber(2))
        with pytest.raises(SkipRefusedError, match="--reason"):
            skip_of(fabric).skip(LANE, SequenceNumber(2), by="ana", reason=" ")

    def test_a_skip_is_not_taken_back_by_a_restore(self) -> None:
        fabric = fabric_with(6)
        copy = copy_of(fabric)
        lose(fabric, 2)
        skip_of(fabric).skip(LANE, SequenceNumber(2), by="ana", reason="-")
        with pytest.raises(RestoreRefusedError, match="continues the lane"):
            restore_of(fabric, copy).look(LANE, SequenceNumber(2))


def test_what_is_lost_at_the_end_is_skipped_as_far_as_a_cursor_knows_and_publishing_goes_on() -> None:
    fabric = fabric_with(5)
    deliver(fabric)
    lose(fabric, 3, 4)
    skip_of(fabric).skip(LANE, SequenceNumber(3), by="ana", reason="no backup has it")
    assert fabric.appender().append(LANE, mine()).sequence == 5
    deliver(fabric)
    assert (proof(fabric).is_proven, proof(fabric).skipped) == (True, 2)
    assert reconciled(fabric) == []


def test_the_end_of_a_lane_is_no_hole_where_nobody_knows_more() -> None:
    fabric = fabric_with(5)
    lose(fabric, 4)
    with pytest.raises(SkipRefusedError, match="nobody was seen further on"):
        skip_of(fabric).look(LANE, SequenceNumber(4))


def test_a_record_that_a_skip_names_comes_back_by_it() -> None:
    fabric = skipped(4, 2)
    copy = copy_of(fabric)
    records = fabric.records()
    delete(fabric, records[3])
    restore_of(fabric, copy).restore(LANE, SequenceNumber(3), by="ana", reason="")
    assert fabric.records() == records


@pytest.mark.parametrize("call", ["note", "append"])
@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_one_that_was_interrupted_goes_on(call: str, fault: Fault) -> None:
    fabric = fabric_with(6)
    lose(fabric, 2)
    faults = Faults(nth(1, fault, name=f"log.{call}"))
    broken = Skip(
        faults.log(fabric.log),
        region=HOME,
        elsewhere={},
        known_seams=lambda lane: (),
        retention_seconds=None,
        clock=fabric.clock,
    )
    with pytest.raises(SimulatedCrash):
        broken.skip(LANE, SequenceNumber(2), by="ana", reason="-")
    if not any(record.is_skip for record in fabric.records()):
        skip_of(fabric).skip(LANE, SequenceNumber(2), by="ana", reason="-")
    deliver(fabric)
    assert fabric.cursor().sequence == 6
    assert [intervention.kind for intervention in fabric.log.interventions(LANE)] == [
        InterventionKind.SKIPPED
    ]


def test_a_cursor_within_a_skip_at_a_lanes_end_goes_on_to_the_end_and_is_not_stuck_before() -> None:
    fabric = fabric_with(4)
    deliver(fabric)
    for number in (4, 5):
        fabric.put(event(f"a{number}"))
    reconciled(fabric)  # knows the lane up to its end
    lose(fabric, 3, 4, 5)
    assert fabric.cursor().sequence == 4
    skipped = skip_of(fabric).skip(LANE, SequenceNumber(3), by="ana", reason="gone")
    assert skipped.until.sequence == 6
    assert reconciled(fabric) == []
    deliver(fabric)
    assert fabric.cursor().sequence == 6
    assert proof(fabric).is_proven


def test_a_skip_is_not_taken_back_where_what_is_behind_it_is_lost_too() -> None:
    fabric = fabric_with(7)
    copy = copy_of(fabric)
    lose(fabric, 2)
    skip_of(fabric).skip(LANE, SequenceNumber(2), by="ana", reason="no copy has it")
    fabric.cloud.replicate()
    lose(fabric, 3)
    with pytest.raises(RestoreRefusedError, match="it was skipped"):
        restore_of(fabric, copy).restore(LANE, SequenceNumber(2), by="bob", reason="")
