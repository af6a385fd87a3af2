"""Replays of a subscription: planned, carried out, or both."""

from eventfabric.model import AtSequence, Lane, SequenceNumber, Start
from eventfabric.services.operations.replay import Replay
from eventfabric.services.operations.replay_plan import LanePlan, LaneReplayed
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.testing.memory.faults import Faults
from tests.support.memory_fabric import HOME
from tests.support.subscribed_stream import SubscribedStream


def replay_of(
    fabric: SubscribedStream,
    *,
    faults: Faults | None = None,
    source: SubscriptionTopology | None = None,
    into: SubscriptionTopology | None = None,
    publish: bool = False,
) -> Replay:
    """Return a replay of the stream's subscription; `source`: of that one."""
    faults = faults or Faults()
    return Replay(
        source or fabric.subscription,
        fabric.stream,
        into=into,
        publish=publish,
        log=faults.log(fabric.log),
        ledger=faults.ledger(fabric.cloud.ledger(HOME)),
        doorbells=faults.doorbells(fabric.cloud.doorbells(HOME)),
        clock=fabric.clock,
        entropy=fabric.entropy,
    )


def at_sequence(sequence: int) -> AtSequence:
    return AtSequence(SequenceNumber(sequence))


def replay(
    fabric: SubscribedStream, start: Start | int, *, key: str | None = None, lane: Lane | None = None
) -> list[LaneReplayed]:
    """Replay from a start, as an operator does: plan, then carry out, lane by lane."""
    operation = replay_of(fabric)
    plans = operation.plan(at_sequence(start) if isinstance(start, int) else start, key=key, lane=lane)
    return [operation.carry_out(plan) for plan in plans]


def the_plan(
    fabric: SubscribedStream, start: Start | int, *, key: str | None = None, counts: bool = False
) -> LanePlan:
    """Return the only plan that changes anything."""
    plans = replay_of(fabric).plan(
        at_sequence(start) if isinstance(start, int) else start, key=key, counts=counts
    )
    (plan,) = [plan for plan in plans if plan.changes_anything]
    return plan
