"""Subscriptions that hold producers back: declared, and obeyed by whoever knows nothing but what is declared."""

from typing import Any

import pytest

from eventfabric import Fabric
from eventfabric.errors import BackpressureError
from eventfabric.model import DeclarationLane, LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.catalogue import State, in_state
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.services.publishing.gates import gates_of
from eventfabric.topology import Topology
from tests.support.memory_fabric import HOME, LANE, STREAM, MemoryFabric
from tests.support.subscribed_stream import topology

UNGATED = topology(lanes=1)


def gated(keys: str = "seconds = 20", **settings: Any) -> Topology:
    """The stream with another subscription, which holds producers back."""
    others = "\n".join(f'{name} = "{value}"' for name, value in settings.items())
    return topology(
        lanes=1,
        others=f'[subscriptions.gate]\nstream = "{STREAM}"\nhandler = "a:b"\n{others}\n'
        f"[subscriptions.gate.backpressure]\n{keys}",
    )


class Declaring(MemoryFabric):
    """A fabric that is declared, and a producer who knows nothing else."""

    def __init__(self, declared: Topology) -> None:
        super().__init__(declared)
        self.declare()
        self.streams = DeclaredStreams(
            declared.fabric,
            [HOME],
            log_of=lambda stream, region: self.ports(region).log_of(stream),
            clock=self.clock,
        )
        self.shop: Fabric = self.producer(
            streams=self.streams, credits_of=lambda region: self.ports(region).credits
        )

    def grant(self, until: int, state_name: str = "gate") -> None:
        key = LaneKey(StreamName(STREAM), SubscriptionName(state_name), LANE)
        self.ports().credits.grant(key, SequenceNumber(until))

    def publish(self) -> int:
        return self.shop.publish(STREAM, key="k", type="placed").sequence

    def is_held_back(self) -> bool:
        """Tell if a producer is, once it knows what is declared by now."""
        self.clock.advance(61)
        try:
            self.publish()
        except BackpressureError:
            return True
        return False

    def change(self, state: State, request: str) -> None:
        change = Deployer(self.topology, HOME, self.ports(), by="cli", request_id=request).change("", "gate")
        declare(
            self.ports().log_of(self.stream),
            DeclarationLane.of(HOME, StreamName(STREAM)),
            lambda read: read and in_state(read, "gate", state, change),
            clock=self.clock,
            entropy=self.entropy,
            source=self.stream.source,
        )


def test_a_producer_without_the_definition_is_held_back_within_a_minute_of_the_deployment() -> None:
    fabric = Declaring(UNGATED)
    fabric.grant(0)
    assert not fabric.is_held_back()
    fabric.declare(gated())
    assert fabric.is_held_back()
    fabric.declare(UNGATED)
    assert fabric.is_held_back(), "its own declaration stays until it is taken back"


@pytest.mark.parametrize("state", [State.DRAINING, State.RETIRED, State.UNDEPLOYED])
def test_a_subscription_that_is_not_active_any_more_holds_nobody_back(state: State) -> None:
    fabric = Declaring(gated())
    fabric.grant(0)
    assert fabric.is_held_back()
    fabric.change(state, "ends")
    assert not fabric.is_held_back()
    assert gates_of(fabric.streams.stream(STREAM)) == ()


def test_one_that_begins_anew_under_its_name_grants_in_slots_of_its_own() -> None:
    fabric = Declaring(gated())
    fabric.grant(0)
    assert fabric.is_held_back()
    fabric.change(State.RETIRED, "retired")
    fabric.declare(gated())
    assert not fabric.is_held_back()
    fabric.grant(0, "gate#1")
    assert fabric.is_held_back()


def test_what_is_declared_says_all_of_the_key() -> None:
    keys = 'seconds = 20\nevents_min = 7\nwhile_paused = "hold"'
    wanted = gated(keys).subscription("gate").definition.backpressure
    [_, known] = Declaring(gated(keys)).streams.stream(STREAM).subscriptions
    assert wanted is not None
    assert known.definition.backpressure == wanted


@pytest.mark.parametrize(
    ("settings", "is_everywhere"),
    [({}, False), ({"deliver": "everywhere"}, True), ({"deliver": "one", "region": HOME}, False)],
)
def test_only_where_each_region_delivers_for_itself_others_do_not_count(
    settings: dict[str, str], is_everywhere: bool
) -> None:
    [gate] = gates_of(Declaring(gated(**settings)).streams.stream(STREAM))
    assert gate == ("gate", is_everywhere)


def test_a_region_obeys_what_is_declared_in_itself() -> None:
    fabric = Declaring(gated())
    away = Region("eu-west-1")
    fabric.declare(UNGATED, away)
    streams = DeclaredStreams(
        fabric.topology.fabric,
        [away],
        log_of=lambda stream, region: fabric.ports(region).log_of(stream),
        clock=fabric.clock,
    )
    assert gates_of(streams.stream(STREAM)) == ()
