"""Retention: records expire, a quiet lane keeps its place, and what nobody read in time is never passed in silence."""

import pytest

from eventfabric.errors import ExpiredUnreadError
from eventfabric.model.cursor import Cursor
from eventfabric.model.finding import FindingKind
from eventfabric.model.identity import SequenceNumber
from eventfabric.model.start import AtSequence
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.expiry import DAY_SECONDS, DAYS, aged_world, expire, reconciled
from tests.support.failing_handlers import Failing, named, retry, world_of
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.messages import TextWith
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


class TestAQuietLane:
    """Its place says where the lane goes on when all of its records have expired."""

    def test_its_place_is_held_however_long_it_is_quiet(self) -> None:
        world = SubscribedStream(retention_days=DAYS)
        world.put(event("a1"))
        newest = world.put(event("a2"))
        world.deliver()
        for _ in range(5 * DAYS):
            world.clock.advance(DAY_SECONDS)
            assert reconciled(world) == []
            expire(world)
        assert world.origin_log.place(LANE) == newest.tail
        assert world.records() == []
        world.put(event("a3"))
        world.deliver()
        assert world.recorder.ids() == ["a1", "a2", "a3"]

    def test_that_costs_one_write_however_long_it_is_quiet(self) -> None:
        world = SubscribedStream(retention_days=DAYS)
        kept = world.put(event("a1"))
        world.deliver()
        written = []
        for _ in range(4 * DAYS):
            before = world.table.items
            world.clock.advance(DAY_SECONDS / 2)
            reconciled(world)
            written.append(world.table.items != before)
        assert sum(written) == 1
        world.put(event("a2"))
        world.deliver()
        world.clock.advance(DAY_SECONDS * (DAYS + 0.1))
        reconciled(world)
        assert expire(world) >= 1
        assert kept.sequence not in [record.sequence for record in world.records()]

    def test_looking_changes_nothing_and_neither_does_another_region(self) -> None:
        world = SubscribedStream(retention_days=DAYS)
        world.put(event("a1"))
        world.deliver()
        world.cloud.replicate()
        before = world.table.items
        world.clock.advance(3 * DAY_SECONDS)
        reconciled(world, repair=False)
        reconciled(world.at(AWAY))
        assert world.table.items == before


class TestBefore:
    """A warning, while there is time."""

    def test_a_cursor_that_moves_but_is_far_behind_is_warned_of(self) -> None:
        world = aged_world()
        world.clock.advance(DAY_SECONDS)
        assert FindingKind.EXPIRES_SOON not in reconciled(world)
        world.clock.advance(0.3 * DAY_SECONDS)
        reconciled(world)
        assert FindingKind.EXPIRES_SOON in reconciled(world)
        world.deliver()
        assert reconciled(world) == []

    def test_so_is_one_that_is_paused_and_a_dead_letter(self) -> None:
        world = world_of(Failing({"a1": 9}), *named("a1"), retention_days=DAYS, **retry(attempts=1))
        world.deliver()
        world.clock.advance(3.5 * DAY_SECONDS)
        assert reconciled(world) == [FindingKind.DEAD, FindingKind.EXPIRES_SOON]
        paused = aged_world()
        assert Operations(paused.topology, HOME, paused.ports()).pause(SUBSCRIPTION, "why")
        paused.clock.advance(1.5 * DAY_SECONDS)
        assert reconciled(paused) == [FindingKind.EXPIRES_SOON]


class TestAfter:
    """Records are gone that a subscription had not read."""

    def test_a_subscription_halts_until_somebody_looks_and_every_pass_says_so(self) -> None:
        world = aged_world()
        world.clock.advance(2.5 * DAY_SECONDS)
        assert expire(world) == 3
        for _ in range(2):
            result = world.deliver()
            assert result.outcome is LaneOutcome.STOPPED
            assert isinstance(result.cause, ExpiredUnreadError)
            assert result.cause.sequence == 1
            assert result.cause.reason == TextWith("before 3", "2 events", "expired")
            assert reconciled(world) == [FindingKind.EXPIRED_UNREAD]
        assert (world.recorder.ids(), world.cursor().sequence) == (["a1"], 1)

    @pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
    def test_or_skips_them_and_counts(self, guarantee: str) -> None:
        world = aged_world(on_expired="skip", guarantee=guarantee)
        world.clock.advance(2.5 * DAY_SECONDS)
        expire(world)
        assert reconciled(world) == [FindingKind.EXPIRED_UNREAD]
        world.deliver_all()
        assert world.recorder.ids() == ["a1", "b1"]
        assert world.telemetry.totals[Metric.EVENTS_EXPIRED] == 2
        assert world.telemetry.told.count(LogEvent.EVENTS_SKIPPED) == 1
        assert reconciled(world) == []

    def test_what_is_kept_of_a_replay_is_a_replay_behind_what_expired_of_it(self) -> None:
        world = aged_world(on_expired="skip")
        world.deliver()
        world.put(event("b2", key="b"))
        replay = Operations(world.topology, HOME, world.ports()).replay(SUBSCRIPTION)
        (plan,) = [plan for plan in replay.plan(AtSequence(SequenceNumber(0))) if plan.lane == LANE]
        replay.carry_out(plan)
        assert world.cursor().replay_until == 4
        world.clock.advance(2.5 * DAY_SECONDS)
        expire(world)
        world.recorder.events.clear()
        world.recorder.replays.clear()
        world.deliver()
        assert world.recorder.handled() == [("b1", True), ("b2", False)]
        assert (world.cursor().sequence, world.cursor().replay_until) == (5, 0)

    def test_a_halt_names_the_lane_and_the_event(self) -> None:
        world = aged_world()
        world.clock.advance(2.5 * DAY_SECONDS)
        expire(world)
        cause = world.deliver().cause
        assert isinstance(cause, ExpiredUnreadError)
        assert (cause.lane, cause.sequence) == (LANE, 1)

    def test_what_crashed_before_it_expired_is_not_the_next_events_crash(self) -> None:
        world = aged_world(on_expired="skip")
        crash = Faults(nth(1, Fault.CRASH_BEFORE, name="handler.attempt"))
        world.run_dies()
        with pytest.raises(SimulatedCrash):
            world.deliverer(faults=crash).deliver(
                world.bell(), deadline_ms=world.clock.now_ms() + 60_000, receive_count=2
            )
        assert world.cursor().attempting
        world.clock.advance(2.5 * DAY_SECONDS)
        expire(world)
        seen: list[Cursor] = []
        handler = Recorder(before=lambda events: seen.append(world.cursor()))
        world.deliver(by=world.deliverer(handler=handler))
        assert handler.ids() == ["b1"]
        # It goes carefully: the attempt of b1 is written down before it, as its first.
        assert [(cursor.sequence, cursor.crashes) for cursor in seen] == [(3, 0)]

    def test_what_cannot_have_expired_is_a_hole_and_is_never_skipped(self) -> None:
        world = aged_world(on_expired="skip")
        for sequence in (1, 2):
            world.table.write("Delete", {"Key": {"pk": {"S": str(LANE)}, "sk": {"N": str(sequence)}}})
        assert world.deliver().outcome is LaneOutcome.HOLE
        assert FindingKind.HOLE in reconciled(world, repair=False)
        assert world.cursor().sequence == 1

    def test_a_replica_waits_for_what_may_still_come(self) -> None:
        world = SubscribedStream(retention_days=DAYS, deliver="everywhere", on_expired="skip")
        away = world.at(AWAY)
        world.put(event("a1"))
        world.cloud.replicate()
        away.deliver()
        world.clock.advance((DAYS + 1) * DAY_SECONDS)
        world.cloud.cut(HOME)
        world.put(event("a2"))
        late = world.put(event("a3"))
        assert away.log.append(late) is None
        assert away.deliver().outcome is LaneOutcome.HOLE
        world.cloud.heal(HOME)
        world.cloud.replicate()
        away.deliver()
        assert away.recorder.ids() == ["a1", "a2", "a3"]

    def test_a_gap_behind_what_is_still_there_is_met_in_the_same_run(self) -> None:
        # Expiry deletes in no order: the record in the middle is gone first.
        world = aged_world(on_expired="skip")
        world.clock.advance(2.5 * DAY_SECONDS)
        world.table.write("Delete", {"Key": {"pk": {"S": str(LANE)}, "sk": {"N": "2"}}})
        world.deliver()
        assert world.recorder.ids() == ["a1", "a2", "b1"]
        assert world.telemetry.totals[Metric.EVENTS_EXPIRED] == 1

    def test_other_lanes_are_not_held_up(self) -> None:
        world = aged_world()
        world.clock.advance(2.5 * DAY_SECONDS)
        expire(world)
        other = lane(1)
        world.put(event("c1", key="c"), of=other)
        world.deliver()
        assert world.deliver(other).outcome is LaneOutcome.DELIVERED
        assert world.recorder.ids() == ["a1", "c1"]
