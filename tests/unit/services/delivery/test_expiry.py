"""Retention: records expire, a quiet lane keeps its place, and what nobody read in time is never passed in silence."""

import pytest

from eventfabric.errors import ExpiredUnreadError
from eventfabric.model import AtSequence, Cursor, SequenceNumber
from eventfabric.model.finding import FindingKind
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.expiry import DAY_SECONDS, DAYS, aged_fabric, expire, reconciled
from tests.support.failing_handlers import Failing, fabric_of, named, retry
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.messages import TextWith
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


class TestAQuietLane:
    """Its place says where the lane goes on when all of its records have expired."""

    def test_its_place_is_held_however_long_it_is_quiet(self) -> None:
        fabric = SubscribedStream(retention_days=DAYS)
        fabric.put(event("a1"))
        newest = fabric.put(event("a2"))
        fabric.deliver()
        for _ in range(5 * DAYS):
            fabric.clock.advance(DAY_SECONDS)
            assert reconciled(fabric) == []
            expire(fabric)
        assert fabric.origin_log.place(LANE) == newest.tail
        assert fabric.records() == []
        fabric.put(event("a3"))
        fabric.deliver()
        assert fabric.recorder.ids() == ["a1", "a2", "a3"]

    def test_that_costs_one_write_however_long_it_is_quiet(self) -> None:
        fabric = SubscribedStream(retention_days=DAYS)
        kept_record = fabric.put(event("a1"))
        fabric.deliver()
        written = []
        for _ in range(4 * DAYS):
            before = fabric.table.items
            fabric.clock.advance(DAY_SECONDS / 2)
            reconciled(fabric)
            written.append(fabric.table.items != before)
        assert sum(written) == 1
        fabric.put(event("a2"))
        fabric.deliver()
        fabric.clock.advance(DAY_SECONDS * (DAYS + 0.1))
        reconciled(fabric)
        assert expire(fabric) >= 1
        assert kept_record.sequence not in [record.sequence for record in fabric.records()]

    def test_looking_changes_nothing_and_neither_does_another_region(self) -> None:
        fabric = SubscribedStream(retention_days=DAYS)
        fabric.put(event("a1"))
        fabric.deliver()
        fabric.cloud.replicate()
        before = fabric.table.items
        fabric.clock.advance(3 * DAY_SECONDS)
        reconciled(fabric, repair=False)
        reconciled(fabric.in_region(AWAY))
        assert fabric.table.items == before


class TestBefore:
    """A warning, while there is time."""

    def test_a_cursor_that_moves_but_is_far_behind_is_warned_of(self) -> None:
        fabric = aged_fabric()
        fabric.clock.advance(DAY_SECONDS)
        assert FindingKind.EXPIRES_SOON not in reconciled(fabric)
        fabric.clock.advance(0.3 * DAY_SECONDS)
        reconciled(fabric)
        assert FindingKind.EXPIRES_SOON in reconciled(fabric)
        fabric.deliver()
        assert reconciled(fabric) == []

    def test_so_is_one_that_is_paused_and_a_dead_letter(self) -> None:
        fabric = fabric_of(Failing({"a1": 9}), *named("a1"), retention_days=DAYS, **retry(attempts=1))
        fabric.deliver()
        fabric.clock.advance(3.5 * DAY_SECONDS)
        assert reconciled(fabric) == [FindingKind.DEAD, FindingKind.EXPIRES_SOON]
        paused = aged_fabric()
        assert Operations(paused.topology, HOME, paused.ports()).pause(SUBSCRIPTION, "why")
        paused.clock.advance(1.5 * DAY_SECONDS)
        assert reconciled(paused) == [FindingKind.EXPIRES_SOON]


class TestAfter:
    """Records are gone that a subscription had not read."""

    def test_a_subscription_halts_until_somebody_looks_and_every_pass_says_so(self) -> None:
        fabric = aged_fabric()
        fabric.clock.advance(2.5 * DAY_SECONDS)
        assert expire(fabric) == 3
        for _ in range(2):
            result = fabric.deliver()
            assert result.outcome is LaneOutcome.STOPPED
            assert isinstance(result.cause, ExpiredUnreadError)
            assert result.cause.sequence == 1
            assert result.cause.reason == TextWith("before 3", "2 events", "expired")
            assert reconciled(fabric) == [FindingKind.EXPIRED_UNREAD]
        assert (fabric.recorder.ids(), fabric.cursor().sequence) == (["a1"], 1)

    @pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
    def test_or_skips_them_and_counts(self, guarantee: str) -> None:
        fabric = aged_fabric(on_expired="skip", guarantee=guarantee)
        fabric.clock.advance(2.5 * DAY_SECONDS)
        expire(fabric)
        assert reconciled(fabric) == [FindingKind.EXPIRED_UNREAD]
        fabric.deliver_all()
        assert fabric.recorder.ids() == ["a1", "b1"]
        assert fabric.telemetry.totals[Metric.EVENTS_EXPIRED] == 2
        assert fabric.telemetry.events.count(LogEvent.EVENTS_SKIPPED) == 1
        assert reconciled(fabric) == []

    def test_what_is_kept_of_a_replay_is_a_replay_behind_what_expired_of_it(self) -> None:
        fabric = aged_fabric(on_expired="skip")
        fabric.deliver()
        fabric.put(event("b2", key="b"))
        replay = Operations(fabric.topology, HOME, fabric.ports()).replay(SUBSCRIPTION)
        (plan,) = [plan for plan in replay.plan(AtSequence(SequenceNumber(0))) if plan.lane == LANE]
        replay.carry_out(plan)
        assert fabric.cursor().replay_until == 4
        fabric.clock.advance(2.5 * DAY_SECONDS)
        expire(fabric)
        fabric.recorder.events.clear()
        fabric.recorder.replays.clear()
        fabric.deliver()
        assert fabric.recorder.handled() == [("b1", True), ("b2", False)]
        assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (5, 0)

    def test_a_halt_names_the_lane_and_the_event(self) -> None:
        fabric = aged_fabric()
        fabric.clock.advance(2.5 * DAY_SECONDS)
        expire(fabric)
        cause = fabric.deliver().cause
        assert isinstance(cause, ExpiredUnreadError)
        assert (cause.lane, cause.sequence) == (LANE, 1)

    def test_what_crashed_before_it_expired_is_not_the_next_events_crash(self) -> None:
        fabric = aged_fabric(on_expired="skip")
        crash = Faults(nth(1, Fault.CRASH_BEFORE, name="handler.attempt"))
        fabric.run_dies()
        with pytest.raises(SimulatedCrash):
            fabric.deliverer(faults=crash).deliver(
                fabric.bell(), deadline_ms=fabric.clock.now_ms() + 60_000, receive_count=2
            )
        assert fabric.cursor().attempting
        fabric.clock.advance(2.5 * DAY_SECONDS)
        expire(fabric)
        seen: list[Cursor] = []
        handler = Recorder(before=lambda events: seen.append(fabric.cursor()))
        fabric.deliver(by=fabric.deliverer(handler=handler))
        assert handler.ids() == ["b1"]
        # It goes carefully: the attempt of b1 is written down before it, as its first.
        assert [(cursor.sequence, cursor.crashes) for cursor in seen] == [(3, 0)]

    def test_what_cannot_have_expired_is_a_hole_and_is_never_skipped(self) -> None:
        fabric = aged_fabric(on_expired="skip")
        for sequence in (1, 2):
            fabric.table.write("Delete", {"Key": {"pk": {"S": str(LANE)}, "sk": {"N": str(sequence)}}})
        assert fabric.deliver().outcome is LaneOutcome.HOLE
        assert FindingKind.HOLE in reconciled(fabric, repair=False)
        assert fabric.cursor().sequence == 1

    def test_a_replica_waits_for_what_may_still_come(self) -> None:
        fabric = SubscribedStream(retention_days=DAYS, deliver="everywhere", on_expired="skip")
        away = fabric.in_region(AWAY)
        fabric.put(event("a1"))
        fabric.cloud.replicate()
        away.deliver()
        fabric.clock.advance((DAYS + 1) * DAY_SECONDS)
        fabric.cloud.cut(HOME)
        fabric.put(event("a2"))
        late = fabric.put(event("a3"))
        assert away.log.append(late) is None
        assert away.deliver().outcome is LaneOutcome.HOLE
        fabric.cloud.heal(HOME)
        fabric.cloud.replicate()
        away.deliver()
        assert away.recorder.ids() == ["a1", "a2", "a3"]

    def test_a_gap_behind_what_is_still_there_is_met_in_the_same_run(self) -> None:
        # Expiry deletes in no order: the record in the middle is gone first.
        fabric = aged_fabric(on_expired="skip")
        fabric.clock.advance(2.5 * DAY_SECONDS)
        fabric.table.write("Delete", {"Key": {"pk": {"S": str(LANE)}, "sk": {"N": "2"}}})
        fabric.deliver()
        assert fabric.recorder.ids() == ["a1", "a2", "b1"]
        assert fabric.telemetry.totals[Metric.EVENTS_EXPIRED] == 1

    def test_other_lanes_are_not_held_up(self) -> None:
        fabric = aged_fabric()
        fabric.clock.advance(2.5 * DAY_SECONDS)
        expire(fabric)
        other = lane(1)
        fabric.put(event("c1", key="c"), of=other)
        fabric.deliver()
        assert fabric.deliver(other).outcome is LaneOutcome.DELIVERED
        assert fabric.recorder.ids() == ["a1", "c1"]
