"""Cursors after records expired: what was skipped, and what is never skipped."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import ExpiredUnreadError
from eventfabric.model.cursor import START
from eventfabric.model.identity import SequenceNumber
from eventfabric.model.record import UNKNOWN_CHAIN
from eventfabric.model.start import AtSequence, AtTime
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.wire.keys import record_key
from tests.support.expiry import DAY_SECONDS, DAYS, reconciled
from tests.support.failing_handlers import named
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def old_world(**settings: Any) -> SubscribedStream:
    """a1 is delivered and a2 waits, both older than what is kept, and not deleted yet; b1 came just now."""
    world = SubscribedStream(retention_days=DAYS, **settings)
    world.put(*named("a1"))
    world.deliver()
    world.put(*named("a2"))
    world.clock.advance((DAYS + 1) * DAY_SECONDS)
    world.put(*named("b1"))
    return world


def gone(world: SubscribedStream, *sequences: int) -> None:
    for sequence in sequences:
        world.table.write("Delete", {"Key": record_key(LANE, sequence)})


def test_the_origin_knows_at_once_that_what_is_missing_has_expired() -> None:
    world = old_world()
    gone(world, 1)
    result = world.deliver()
    assert result.outcome is LaneOutcome.STOPPED
    assert isinstance(result.cause, ExpiredUnreadError)
    assert world.telemetry.totals[Metric.LANES_STOPPED] == 1
    assert Metric.EVENTS_EXPIRED not in world.telemetry.totals


def test_after_a_skip_the_cursor_knows_nothing_of_what_was_before() -> None:
    world = old_world(on_expired="skip")
    gone(world, 0, 1)
    before = world.cursor()
    assert world.deliver(time_ms=0).outcome is LaneOutcome.HANDED_BACK
    skipped = replace(
        before,
        sequence=SequenceNumber(2),
        base=SequenceNumber(2),
        chain=UNKNOWN_CHAIN,
        version=before.version + 1,
    )
    assert world.cursor() == skipped
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["a1", "b1"]
    assert world.cursor().chain == world.records()[-1].chain


@pytest.mark.parametrize("until", [1, 2])
def test_a_replay_of_what_expired_whole_is_over(until: int) -> None:
    world = SubscribedStream(retention_days=DAYS, on_expired="skip")
    names = ["a1", "a2"][:until]
    for next_event in named(*names):
        world.put(next_event)
    world.deliver()
    replay = Operations(world.topology, HOME, world.ports()).replay(SUBSCRIPTION)
    (plan,) = [plan for plan in replay.plan(AtSequence(SequenceNumber(0))) if plan.lane == LANE]
    replay.carry_out(plan)
    assert world.cursor().replay_until == until
    if until == 1:
        world.put(*named("a2"))
    world.clock.advance((DAYS + 1) * DAY_SECONDS)
    world.put(*named("b1"))
    gone(world, 0, 1)
    world.deliver(time_ms=0)
    assert (world.cursor().sequence, world.cursor().replay_until) == (2, 0)
    world.deliver()
    assert world.recorder.handled()[until:] == [("b1", False)]


def test_what_is_old_and_still_here_is_delivered_even_to_who_had_no_time_for_it_at_first() -> None:
    world = SubscribedStream(retention_days=DAYS)
    world.put(*named("a1"))
    world.clock.advance((DAYS + 1) * DAY_SECONDS)
    world.put(*named("b1"))
    assert world.deliver(time_ms=0).outcome is LaneOutcome.HANDED_BACK
    assert world.cursor() == START
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["a1", "b1"]
    assert (world.cursor().sequence, world.cursor().began) == (2, 0)


def test_a_lane_that_was_never_begun_begins_with_the_oldest_that_is_kept_and_counts_no_loss() -> None:
    world = SubscribedStream(retention_days=DAYS)
    world.put(*named("a1"))
    world.put(event("a2", key="a"))
    world.clock.advance((DAYS + 1) * DAY_SECONDS)
    world.put(*named("b1"))
    gone(world, 0)
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["b1"]
    assert (world.cursor().sequence, world.cursor().began) == (3, 2)
    assert Metric.EVENTS_EXPIRED not in world.telemetry.totals


@pytest.mark.parametrize("on_expired", ["skip", "halt"])
def test_what_is_lost_between_records_that_are_kept_has_not_expired(on_expired: str) -> None:
    world = SubscribedStream(retention_days=DAYS, on_expired=on_expired)
    for name in ("a0", "a1"):
        world.put(*named(name))
    world.deliver()
    for name in ("a2", "a3"):
        world.put(*named(name))
    world.cloud.replicate()
    gone(world, 1, 2)  # in this Region alone, on both sides of the cursor
    assert world.deliver().outcome is LaneOutcome.HOLE
    assert Metric.EVENTS_EXPIRED not in world.telemetry.totals
    reconciled(world)
    world.deliver()
    assert world.recorder.ids() == ["a0", "a1", "a2", "a3"]


def test_a_lane_begins_before_what_is_lost_behind_records_that_are_kept() -> None:
    start_ms = SubscribedStream().clock.now_ms() + 5_000
    world = SubscribedStream(retention_days=DAYS, start=str(AtTime(start_ms)))
    world.put(*named("old"))
    world.clock.advance(10)
    world.put(*named("a1"))
    world.put(*named("a2"))
    world.cloud.replicate()
    gone(world, 1)
    assert world.deliver().outcome is LaneOutcome.HOLE
    reconciled(world)
    world.deliver()
    assert world.recorder.ids() == ["a1", "a2"]
