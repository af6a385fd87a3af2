"""Stuck lane: nothing fails any more, everything that can move has moved, and events still wait."""

from eventfabric import limits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "stuck_lane"


def check(of: History) -> Verdict:
    """Check that in the end every cursor is behind the last wanted event of its lane, and only dead keys are parked.

    It stays before fewer others than those after which the lane is rung all the same.
    """
    facts = facts_of(of)
    if facts.end is None:
        return verdict(NAME, [], unknown=True)
    last = len(of.entries) - 1
    if not facts.end.quiet:
        return verdict(NAME, [Anomaly(f"it never came to rest: {facts.end.why}", last)])
    delivering = Delivering(facts)
    for entry in of.entries:
        delivering.feed(entry)
    remarks = [f"{facts.end.waiting} messages wait in queues"] if facts.end.waiting else []
    for name in facts.subscriptions:
        for group in facts.groups(name):
            for lane in facts.lanes:
                remarks += _of_lane(facts, delivering, name, group, lane)
    return verdict(NAME, [Anomaly(what, last) for what in remarks])


def _of_lane(facts: Facts, delivering: Delivering, name: str, group: str, lane: str) -> list[str]:
    if lane in facts.changed_lanes or any(place[0] == lane for place in facts.gone):
        return []  # a changed lane stops there; events that expired unread halt it, as the subscription says
    regions = [group] if group else facts.plan.regions
    stands = {
        region: stand
        for region in regions
        if (stand := delivering.cursors.get((region, name, lane))) is not None
    }
    end = facts.lanes[lane][-1].sequence + 1
    wanted = [event.sequence + 1 for event in facts.lanes[lane] if facts.wants(name, event)]
    every = facts.plan.bounds.get("RING_EVERY_EVENTS", limits.RING_EVERY_EVENTS)
    least = max([*wanted, end - every + 1])
    if not stands:
        return (
            []
            if least <= 0 or facts.subscriptions[name].start == "latest"
            else [f"{name} never began with {lane}"]
        )
    owner = max(stands, key=lambda region: (stands[region].epoch, stands[region].sequence))
    reasons = []
    if stands[owner].sequence < least:
        reasons.append(f"{name} stands at {stands[owner].sequence} of {lane} in {owner}, which ends at {end}")
    is_past = stands[owner].is_past_seal  # what is parked there is its children's
    for key, parked in ({} if is_past else delivering.parked[owner, name, lane]).items():
        if not delivering.is_dead(owner, name, lane, key):
            reasons.append(f"{name} has key {key} of {lane} parked in {owner}, {parked.state}")
    return reasons
