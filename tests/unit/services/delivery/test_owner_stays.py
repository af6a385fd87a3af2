"""A definition says who delivers lanes first. From then on it is a handover that moves them, and nothing else."""

from typing import Any

import pytest

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.errors import ChangedDeliverError, FailoverError, OutcomeUnknownError
from eventfabric.model import Owner, Region, Standing
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.lanes.standing import Standings
from eventfabric.services.operations.failover import Failover
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.topology import Topology
from tests.support.failing_handlers import Failing, fabric_of, named, retry
from tests.support.memory_fabric import AWAY, FAR, HOME, LANE, STREAM, event, lane
from tests.support.subscribed_stream import SubscribedStream, topology

ONCE = retry(immediate=0, attempts=1)
CHANGES = [
    ({"deliver": "one", "region": HOME}, {"deliver": "one", "region": AWAY}),
    ({"deliver": "origin"}, {"deliver": "one", "region": AWAY}),
]


def in_order(*regions: Region, deliver: str, durability: str) -> Topology:
    """Return a definition with its Regions in this order; the first is the default of `deliver = "one"`."""
    names = ", ".join(f'"{region}"' for region in regions)
    return Topology(
        parse_definition(f"""
            [fabric]
            name = "shop"
            regions = [{names}]
            [streams.{STREAM}]
            lanes = 2
            durability = "{durability}"
            [subscriptions.billing]
            stream = "{STREAM}"
            handler = "subscribers.billing:charge"
            deliver = "{deliver}"
        """)
    )


def dead_letters(fabric: SubscribedStream, region: Region) -> list[str]:
    """The places of the dead letters that a Region lists."""
    letters = Operations(fabric.topology, region, fabric.ports(region)).dead_letters("billing").find()
    return [letter.place for letter in letters]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once", "at_most_once"])
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_another_region_in_the_definition_hands_nothing_out_again(
    before: dict[str, Any], after: dict[str, Any], guarantee: str
) -> None:
    failing = Failing({"d1": 99})
    fabric = fabric_of(failing, *named("a1", "b1", "d1", "c1"), guarantee=guarantee, **before, **ONCE)
    for _ in range(2):
        fabric.deliver()
    letters = dead_letters(fabric, HOME)
    assert letters == ([] if guarantee == "at_most_once" else [f"{LANE}@2"])
    fabric.cloud.replicate()
    fabric.topology = topology(guarantee=guarantee, **after, **ONCE)
    fabric.put(*named("n1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    assert away.deliver().outcome is LaneOutcome.NOT_OWNER
    fabric.deliver()
    assert (away.recorder.ids(), fabric.recorder.ids()) == ([], ["a1", "b1", "c1", "n1"])
    assert dead_letters(fabric, HOME) == letters


def test_a_handover_then_moves_the_lanes_with_their_cursors_and_dead_letters() -> None:
    fabric = fabric_of(Failing({"d1": 99}), *named("a1", "d1"), deliver="one", region=HOME, **ONCE)
    fabric.deliver()
    fabric.topology = topology(deliver="one", region=AWAY, **ONCE)
    fabric.cloud.replicate()
    (moving,) = Operations(fabric.topology, AWAY, fabric.ports(AWAY)).failback()
    moving.hand_over()
    fabric.put(*named("n1"))
    fabric.cloud.replicate()
    fabric.clock.advance(limits.CIRCUIT_CACHE_SECONDS)
    away = fabric.in_region(AWAY)
    away.deliver()
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER
    assert away.recorder.ids() == ["n1"]
    assert dead_letters(fabric, AWAY) == [f"{LANE}@1"]


def test_while_the_definitions_differ_one_region_delivers() -> None:
    fabric = SubscribedStream(deliver="one", region=HOME)
    fabric.put(event("a1"))
    away = fabric.in_region(AWAY)
    away.topology = topology(deliver="one", region=AWAY)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    # The note of HOME's first delivery is not replicated, and AWAY, which has the new definition, asks.
    for link in fabric.cloud.links:
        if link.source.name == fabric.stream.table.name:
            link.pass_on()
    fabric.clock.advance(1)
    assert away.deliver().outcome is LaneOutcome.NOT_OWNER
    assert (fabric.recorder.ids(), away.recorder.ids()) == (["a1"], [])


@pytest.mark.parametrize("durability", ["replicated", "quorum"])
@pytest.mark.parametrize("deliver", ["one", "origin"])
def test_regions_in_another_order_hand_nothing_out_again(durability: str, deliver: str) -> None:
    fabric = SubscribedStream(durability=durability, deliver=deliver)
    fabric.put(*named("a1", "b1"))
    fabric.deliver()
    fabric.cloud.replicate()
    others = [AWAY, HOME, FAR] if durability == "quorum" else [AWAY, HOME]
    fabric.topology = in_order(*others, deliver=deliver, durability=durability)
    fabric.put(*named("n1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    away.deliver()
    fabric.deliver()
    assert (away.recorder.ids(), fabric.recorder.ids()) == ([], ["a1", "b1", "n1"])


@pytest.mark.parametrize("durability", ["replicated", "quorum"])
def test_lanes_that_one_region_delivers_are_not_delivered_everywhere_all_at_once(durability: str) -> None:
    fabric = SubscribedStream(durability=durability, deliver="origin")
    fabric.put(event("a1"))
    fabric.deliver()
    fabric.cloud.replicate()
    fabric.topology = topology(durability=durability, deliver="everywhere")
    for there in (fabric, fabric.in_region(AWAY)):
        result = there.deliver()
        assert (result.outcome, type(result.cause)) == (LaneOutcome.STOPPED, ChangedDeliverError)
    assert fabric.recorder.ids() == ["a1"]


def test_a_region_that_delivered_for_itself_goes_on_from_its_own_cursor_when_it_does_for_all() -> None:
    fabric = SubscribedStream(deliver="everywhere")
    fabric.put(event("a1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    away.deliver()
    away.topology = topology(deliver="one", region=AWAY)
    fabric.put(event("a2"))
    fabric.cloud.replicate()
    away.deliver()
    assert away.recorder.ids() == ["a1", "a2"]


def test_the_first_delivery_is_noted_once_and_before_the_lane_is_looked_at() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a1"))
    fabric.put(event("a2"), of=lane(1))
    fabric.deliver()
    fabric.deliver(lane(1))
    assert fabric.faults.count("ledger.hand_over") == 1
    calls = fabric.faults.calls
    assert calls.index("ledger.hand_over") < calls.index("ledger.state")


def test_a_note_whose_reply_is_lost_stands_and_is_found() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a1"))
    faults = Faults(nth(1, Fault.LOST_REPLY, name="ledger.hand_over"))
    with pytest.raises(OutcomeUnknownError):
        fabric.deliver(by=fabric.deliverer(faults=faults))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a1"]


def test_of_two_processes_of_a_region_one_notes_it() -> None:
    fabric = SubscribedStream()
    standings = [Standings(fabric.subscription, ledger=fabric.ledger, clock=fabric.clock) for _ in range(2)]
    for member in standings:
        member.read()
    owners = [member.begin(HOME) for member in standings]
    assert owners[0] == owners[1] == Owner(HOME, HOME, 0, HOME, since_ms=fabric.clock.now_ms(), version=1)


def test_of_two_first_deliveries_the_later_counts_and_of_handovers_the_highest() -> None:
    early, late = Owner(HOME, HOME, 0, HOME, since_ms=1), Owner(HOME, AWAY, 0, AWAY, since_ms=2)
    assert Standing(owners=(late, early)).owner(HOME) == late
    new_owner = Owner(HOME, FAR, 1, FAR, since_ms=0)
    assert Standing(owners=(late, new_owner, early)).owner(HOME) == new_owner


def test_a_region_that_is_in_no_definition_any_more_is_failed_over_from() -> None:
    fabric = SubscribedStream(deliver="one", region=HOME)
    fabric.put(event("a1"), of=lane(0, AWAY))
    fabric.cloud.replicate()
    fabric.deliver(lane(0, AWAY))
    fabric.cloud.replicate()
    left = in_order(AWAY, deliver="one", durability="replicated")
    moving = Failover(left, source=HOME, target=AWAY, ports=fabric.ports(AWAY))
    (owner,) = moving.hand_over()
    assert (owner.region, owner.epoch) == (AWAY, 1)
    with pytest.raises(FailoverError):
        Failover(left, source=FAR, target=AWAY, ports=fabric.ports(AWAY))
