"""A failover that fails midway: whatever it leaves paused is reported, and the source goes on."""

from collections.abc import Callable

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.errors import FailoverError, PortError
from eventfabric.model import CircuitState, Owner, Region, StreamName, SubscriptionName
from eventfabric.sdk.operations import Operations
from eventfabric.testing.memory.faults import Fault
from eventfabric.topology import Topology
from eventfabric.wire.keys import circuit_key
from tests.support.failovers import Waiting, failover
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, MemoryFabric
from tests.support.messages import raises_with
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

OTHER = "zother"
TWO = f"""
[fabric]
name = "shop"
regions = ["{HOME}", "{AWAY}"]
[streams.{STREAM}]
lanes = 2
[subscriptions.{SUBSCRIPTION}]
stream = "{STREAM}"
handler = "a.b:c"
[subscriptions.{OTHER}]
stream = "{STREAM}"
handler = "a.b:c"
"""


def fabric_of_two() -> SubscribedStream:
    """A stream with two subscriptions."""
    fabric = SubscribedStream()
    fabric.topology = Topology(parse_definition(TWO))
    return fabric


def circuits(fabric: SubscribedStream) -> dict[str, CircuitState]:
    """Return the states of the source's circuits."""
    ledger = fabric.cloud.ledger(HOME)
    names = (SUBSCRIPTION, OTHER)
    return {name: ledger.standing(StreamName(STREAM), SubscriptionName(name)).circuit.state for name in names}


CLOSED = {SUBSCRIPTION: CircuitState.CLOSED, OTHER: CircuitState.CLOSED}


@pytest.mark.parametrize(
    ("fault", "number"), [(Fault.LOST_REQUEST, 2), (Fault.LOST_REPLY, 1), (Fault.LOST_REPLY, 2)]
)
def test_a_pause_that_fails_leaves_nothing_paused(fault: Fault, number: int) -> None:
    fabric = fabric_of_two()

    def once(called: str, overall: int, of_name: int) -> Fault | None:
        return fault if (called, of_name) == ("ledger.switch", number) else None

    with pytest.raises(PortError):
        failover(fabric, once).drain(Waiting(fabric))
    assert circuits(fabric) == CLOSED


def test_a_source_that_falls_silent_while_it_is_drained_is_reported_with_what_may_stay_paused_there() -> None:
    fabric, silent = fabric_of_two(), list[int]()
    known_failover = failover(fabric, lambda *_: Fault.LOST_REQUEST if silent else None)
    with raises_with(FailoverError, "the request was lost", HOME, SUBSCRIPTION, OTHER, "paused"):
        known_failover.drain(Waiting(fabric, {1: lambda: silent.append(1)}))


def test_a_handover_that_fails_at_the_second_subscription_leaves_the_source_to_go_on_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fabric = fabric_of_two()
    known_failover = failover(fabric)
    known_failover.drain(Waiting(fabric, {1: fabric.cloud.replicate}))
    ledger = type(known_failover._ports.ledger)
    hand_over: Callable[..., Owner | None] = ledger.hand_over

    def refused(
        self: object, stream: StreamName, subscription: SubscriptionName, *more: object
    ) -> Owner | None:
        return None if subscription == OTHER else hand_over(self, stream, subscription, *more)

    monkeypatch.setattr(ledger, "hand_over", refused)
    with raises_with(FailoverError, OTHER, f"lanes of {HOME}", "somebody else"):
        known_failover.hand_over()
    assert circuits(fabric) == {SUBSCRIPTION: CircuitState.PAUSED, OTHER: CircuitState.CLOSED}


def test_a_failback_asks_no_region_that_shares_nothing_with_this_one() -> None:
    fabric = MemoryFabric(
        Topology(
            parse_definition(f"""
            [fabric]
            name = "shop"
            regions = ["{HOME}", "{AWAY}", "{FAR}"]
            [streams.{STREAM}]
            regions = ["{HOME}", "{AWAY}"]
            lanes = 2
            [streams.second]
            regions = ["{AWAY}", "{FAR}"]
            [subscriptions.{SUBSCRIPTION}]
            stream = "{STREAM}"
            handler = "a.b:c"
            [subscriptions.{OTHER}]
            stream = "second"
            handler = "a.b:c"
        """)
        )
    )
    Operations(fabric.topology, AWAY, fabric.ports(AWAY)).failover(HOME).hand_over()
    fabric.cloud.replicate()
    (back,) = Operations(fabric.topology, HOME, fabric.ports(HOME)).failback()
    assert [owner.region for owner in back.hand_over()] == [Region(HOME)]


@pytest.mark.parametrize("region", [HOME, AWAY])
def test_a_subscription_whose_state_cannot_be_read_keeps_no_other_one_where_it_is(region: Region) -> None:
    fabric = MemoryFabric(Topology(parse_definition(TWO)))
    table = fabric.cloud.regions[region].table(fabric.topology.ledger.name)
    key = circuit_key(StreamName(STREAM), SubscriptionName(OTHER), region)
    table.write("Put", {"Item": {**key, "f": {"S": "{]"}, "v": {"N": "1"}}})

    def wait(seconds: float) -> None:
        fabric.clock.advance(seconds)
        fabric.cloud.replicate()

    known_failover = Operations(fabric.topology, AWAY, fabric.ports(AWAY)).failover(HOME)
    # Where the source cannot read it, its functions do nothing, and the target may go on.
    handed = {SUBSCRIPTION} if region == AWAY else {SUBSCRIPTION, OTHER}
    assert {ready.subscription.name for ready in known_failover.readiness()} == handed
    assert {*known_failover.unreadable} == {SUBSCRIPTION, OTHER} - handed
    known_failover.drain(wait)
    known_failover.hand_over()
    known_failover.release(wait)
    assert len(known_failover.written) == len(handed)
    standing = fabric.cloud.ledger(HOME).standing(StreamName(STREAM), SubscriptionName(SUBSCRIPTION))
    assert standing.circuit.state is CircuitState.CLOSED
    assert [owner.region for owner in standing.owners] == [AWAY]
