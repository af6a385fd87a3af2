"""Cursors after records expired: what was skipped, and what is never skipped."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import ExpiredUnreadError
from eventfabric.model import START, UNKNOWN_CHAIN, AtSequence, AtTime, SequenceNumber
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.wire.keys import record_key
from tests.support.expiry import DAY_SECONDS, DAYS, reconciled
from tests.support.failing_handlers import named
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def old_fabric(**settings: Any) -> SubscribedStream:
    """a1 is delivered and a2 waits, both older than what is kept, and not deleted yet; b1 came just now."""
    fabric = SubscribedStream(retention_days=DAYS, **settings)
    fabric.put(*named("a1"))
    fabric.deliver()
    fabric.put(*named("a2"))
    fabric.clock.advance((DAYS + 1) * DAY_SECONDS)
    fabric.put(*named("b1"))
    return fabric


def gone(fabric: SubscribedStream, *sequences: int) -> None:
    for sequence in sequences:
        fabric.table.write("Delete", {"Key": record_key(LANE, sequence)})


def test_the_origin_knows_at_once_that_what_is_missing_has_expired() -> None:
    fabric = old_fabric()
    gone(fabric, 1)
    result = fabric.deliver()
    assert result.outcome is LaneOutcome.STOPPED
    assert isinstance(result.cause, ExpiredUnreadError)
    assert fabric.telemetry.totals[Metric.LANES_STOPPED] == 1
    assert Metric.EVENTS_EXPIRED not in fabric.telemetry.totals


def test_after_a_skip_the_cursor_knows_nothing_of_what_was_before() -> None:
    fabric = old_fabric(on_expired="skip")
    gone(fabric, 0, 1)
    before = fabric.cursor()
    assert fabric.deliver(time_ms=0).outcome is LaneOutcome.HANDED_BACK
    skipped = replace(
        before,
        sequence=SequenceNumber(2),
        base=SequenceNumber(2),
        chain=UNKNOWN_CHAIN,
        version=before.version + 1,
    )
    assert fabric.cursor() == skipped
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a1", "b1"]
    assert fabric.cursor().chain == fabric.records()[-1].chain


@pytest.mark.parametrize("until", [1, 2])
def test_a_replay_of_what_expired_whole_is_over(until: int) -> None:
    fabric = SubscribedStream(retention_days=DAYS, on_expired="skip")
    names = ["a1", "a2"][:until]
    for next_event in named(*names):
        fabric.put(next_event)
    fabric.deliver()
    replay = Operations(fabric.topology, HOME, fabric.ports()).replay(SUBSCRIPTION)
    (plan,) = [plan for plan in replay.plan(AtSequence(SequenceNumber(0))) if plan.lane == LANE]
    replay.carry_out(plan)
    assert fabric.cursor().replay_until == until
    if until == 1:
        fabric.put(*named("a2"))
    fabric.clock.advance((DAYS + 1) * DAY_SECONDS)
    fabric.put(*named("b1"))
    gone(fabric, 0, 1)
    fabric.deliver(time_ms=0)
    assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (2, 0)
    fabric.deliver()
    assert fabric.recorder.handled()[until:] == [("b1", False)]


def test_what_is_old_and_still_here_is_delivered_even_to_who_had_no_time_for_it_at_first() -> None:
    fabric = SubscribedStream(retention_days=DAYS)
    fabric.put(*named("a1"))
    fabric.clock.advance((DAYS + 1) * DAY_SECONDS)
    fabric.put(*named("b1"))
    assert fabric.deliver(time_ms=0).outcome is LaneOutcome.HANDED_BACK
    assert fabric.cursor() == START
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a1", "b1"]
    assert (fabric.cursor().sequence, fabric.cursor().began) == (2, 0)


def test_a_lane_that_was_never_begun_begins_with_the_oldest_that_is_kept_and_counts_no_loss() -> None:
    fabric = SubscribedStream(retention_days=DAYS)
    fabric.put(*named("a1"))
    fabric.put(event("a2", key="a"))
    fabric.clock.advance((DAYS + 1) * DAY_SECONDS)
    fabric.put(*named("b1"))
    gone(fabric, 0)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["b1"]
    assert (fabric.cursor().sequence, fabric.cursor().began) == (3, 2)
    assert Metric.EVENTS_EXPIRED not in fabric.telemetry.totals


@pytest.mark.parametrize("on_expired", ["skip", "halt"])
def test_what_is_lost_between_records_that_are_kept_has_not_expired(on_expired: str) -> None:
    fabric = SubscribedStream(retention_days=DAYS, on_expired=on_expired)
    for name in ("a0", "a1"):
        fabric.put(*named(name))
    fabric.deliver()
    for name in ("a2", "a3"):
        fabric.put(*named(name))
    fabric.cloud.replicate()
    gone(fabric, 1, 2)  # in this Region alone, on both sides of the cursor
    assert fabric.deliver().outcome is LaneOutcome.HOLE
    assert Metric.EVENTS_EXPIRED not in fabric.telemetry.totals
    reconciled(fabric)
    fabric.deliver()
    assert fabric.recorder.ids() == ["a0", "a1", "a2", "a3"]


def test_a_lane_begins_before_what_is_lost_behind_records_that_are_kept() -> None:
    start_ms = SubscribedStream().clock.now_ms() + 5_000
    fabric = SubscribedStream(retention_days=DAYS, start=str(AtTime(start_ms)))
    fabric.put(*named("old"))
    fabric.clock.advance(10)
    fabric.put(*named("a1"))
    fabric.put(*named("a2"))
    fabric.cloud.replicate()
    gone(fabric, 1)
    assert fabric.deliver().outcome is LaneOutcome.HOLE
    reconciled(fabric)
    fabric.deliver()
    assert fabric.recorder.ids() == ["a1", "a2"]
