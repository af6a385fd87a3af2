"""Replays whose events have all expired leave nothing, here and in what is stored."""

from collections.abc import Sequence

from eventfabric.model import AtSequence, Event, SequenceNumber
from eventfabric.sdk.operations import Operations
from tests.support.expiry import DAY_SECONDS, aged_fabric, expire
from tests.support.memory_fabric import HOME, LANE
from tests.support.subscribed_stream import SUBSCRIPTION


def test_behind_a_replay_that_expired_as_a_whole_all_is_new() -> None:
    fabric = aged_fabric(on_expired="skip")
    replay = Operations(fabric.topology, HOME, fabric.ports()).replay(SUBSCRIPTION)
    (plan,) = [plan for plan in replay.plan(AtSequence(SequenceNumber(0))) if plan.lane == LANE]
    replay.carry_out(plan)
    assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (0, 1)
    fabric.clock.advance(2.5 * DAY_SECONDS)
    expire(fabric)
    fabric.recorder.events.clear()
    fabric.recorder.replays.clear()
    seen: list[tuple[int, int]] = []

    def look(events: Sequence[Event]) -> None:
        seen.append((fabric.cursor().sequence, fabric.cursor().replay_until))

    fabric.recorder.before = look
    fabric.deliver()
    assert fabric.recorder.handled() == [("b1", False)]
    assert seen == [(3, 0)]
