"""Replays of a subscription: planned, carried out, or both."""

from eventfabric.model.identity import Lane, SequenceNumber
from eventfabric.model.start import AtSequence, Start
from eventfabric.services.operations.replay import Replay
from eventfabric.services.operations.replay_plan import LanePlan, LaneReplayed
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import SubscriptionTopology
from tests.support.memory_fabric import HOME
from tests.support.subscribed_stream import SubscribedStream


def replay_of(
    world: SubscribedStream, *, faults: Faults | None = None, into: SubscriptionTopology | None = None
) -> Replay:
    """Return a replay of the stream's subscription."""
    faults = faults or Faults()
    return Replay(
        world.subscription,
        world.stream,
        into=into,
        log=faults.log(world.log),
        ledger=faults.ledger(world.cloud.ledger(HOME)),
        doorbells=faults.doorbells(world.cloud.doorbells(HOME)),
        clock=world.clock,
        entropy=world.entropy,
    )


def at(sequence: int) -> AtSequence:
    return AtSequence(SequenceNumber(sequence))


def replay(
    world: SubscribedStream, start: Start | int, *, key: str | None = None, lane: Lane | None = None
) -> list[LaneReplayed]:
    """Replay from a start, as an operator does: plan, then carry out, lane by lane."""
    operation = replay_of(world)
    plans = operation.plan(at(start) if isinstance(start, int) else start, key=key, lane=lane)
    return [operation.carry_out(plan) for plan in plans]


def the_plan(
    world: SubscribedStream, start: Start | int, *, key: str | None = None, counts: bool = False
) -> LanePlan:
    """Return the only plan that changes anything."""
    plans = replay_of(world).plan(at(start) if isinstance(start, int) else start, key=key, counts=counts)
    (plan,) = [plan for plan in plans if plan.changes_anything]
    return plan
