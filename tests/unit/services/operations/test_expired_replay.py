"""Replays whose events have all expired leave nothing, here and in what is stored."""

from collections.abc import Sequence

from eventfabric.model.event import Event
from eventfabric.model.identity import SequenceNumber
from eventfabric.model.start import AtSequence
from eventfabric.sdk.operations import Operations
from tests.support.expiry import DAY_SECONDS, aged_world, expire
from tests.support.memory_fabric import HOME, LANE
from tests.support.subscribed_stream import SUBSCRIPTION


def test_behind_a_replay_that_expired_as_a_whole_all_is_new() -> None:
    world = aged_world(on_expired="skip")
    replay = Operations(world.topology, HOME, world.ports()).replay(SUBSCRIPTION)
    (plan,) = [plan for plan in replay.plan(AtSequence(SequenceNumber(0))) if plan.lane == LANE]
    replay.carry_out(plan)
    assert (world.cursor().sequence, world.cursor().replay_until) == (0, 1)
    world.clock.advance(2.5 * DAY_SECONDS)
    expire(world)
    world.recorder.events.clear()
    world.recorder.replays.clear()
    seen: list[tuple[int, int]] = []

    def look(events: Sequence[Event]) -> None:
        seen.append((world.cursor().sequence, world.cursor().replay_until))

    world.recorder.before = look
    world.deliver()
    assert world.recorder.handled() == [("b1", False)]
    assert seen == [(3, 0)]
