"""Retire: what is left of a subscription, draining it, and ending it in every Region."""

from dataclasses import replace

import pytest

from eventfabric.errors import DrainError, SettingError, UnknownNameError
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import SubscriptionFacts
from eventfabric.ports import Ports
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.operations.retire import WAIT_SECONDS, RegionLeft, Retirement
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.failing_handlers import FEW, Failing, fabric_of
from tests.support.memory_fabric import AWAY, HOME, STREAM, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def declared(fabric: SubscribedStream) -> SubscribedStream:
    """Declare what is deployed in both Regions, as it is replicated."""
    for region in (HOME, AWAY):
        declare_all(Deployer(fabric.topology, region, fabric.ports(region), by="stack", request_id="r1"))
    fabric.cloud.replicate()
    return fabric


def with_events(failing: Failing | None = None) -> SubscribedStream:
    """Return a fabric with an event in each of two lanes, which nobody has delivered."""
    fabric = declared(fabric_of(failing or Failing({}), **FEW))
    fabric.put(event("a", key="a"))
    fabric.put(event("b", key="b"), of=lane(1))
    return fabric


def retirement(fabric: SubscribedStream, ports: Ports | None = None) -> Retirement:
    return Retirement.of(fabric.topology, SUBSCRIPTION, ports or fabric.ports(HOME), by="me")


def facts(fabric: SubscribedStream, region: Region) -> SubscriptionFacts:
    known = newest(fabric.cloud.log(STREAM, region), DeclarationLane.of(region, StreamName(STREAM)))
    assert known is not None
    return known.declaration.subscriptions[SUBSCRIPTION]


def counts(looks: list[RegionLeft]) -> dict[str, list[tuple[int, int, int]]]:
    return {str(look.region): [(own.waiting, own.retrying, own.dead) for own in look.lanes] for look in looks}


def without_away(fabric: SubscribedStream) -> Ports:
    """Return ports for which the other Region does not answer."""
    silent = Faults(lambda name, *_: Fault.LOST_REQUEST)
    here, away = fabric.ports(HOME), silent.ports(fabric.ports(AWAY))
    return replace(here, at=lambda region: here if region == HOME else away)


def test_what_is_left_is_listed_by_region_and_lane() -> None:
    fabric = with_events(Failing({"a": 99}))
    assert counts(retirement(fabric).look()) == {HOME: [(1, 0, 0), (1, 0, 0)], AWAY: []}
    fabric.relay_all()
    fabric.deliver_all()
    assert counts(retirement(fabric).look()) == {HOME: [(0, 0, 1), (0, 0, 0)], AWAY: []}


def test_it_drains_until_what_was_published_before_is_delivered() -> None:
    fabric = with_events()
    ending, waits = retirement(fabric), list[float]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        assert facts(fabric, HOME).state.value == facts(fabric, AWAY).state.value == "draining"
        fabric.deliver_all()  # the lanes were rung
        fabric.put(event(f"later {len(waits)}"))  # nobody waits for what comes now

    ending.drain(wait)
    assert waits == [WAIT_SECONDS]
    assert fabric.recorder.ids() == ["a", "b"]
    assert ending.end() == [HOME, AWAY]
    assert facts(fabric, HOME).state.value == facts(fabric, AWAY).state.value == "retired"
    fabric.cloud.replicate()
    with pytest.raises(SettingError, match="which is retired"):
        retirement(fabric)


def test_dead_letters_are_not_waited_for() -> None:
    fabric = with_events(Failing({"a": 99}))
    with pytest.raises(DrainError, match="1 dead letters: redrive or discard them"):
        retirement(fabric).drain(lambda seconds: fabric.deliver_all())
    assert facts(fabric, HOME).state.value == "draining"
    assert retirement(fabric).end() == [HOME, AWAY]  # given up


def test_a_region_that_is_undeployed_would_deliver_nothing() -> None:
    fabric = with_events()
    deployer = Deployer(fabric.topology, HOME, fabric.ports(HOME), by="stack", request_id="r2")
    deployer.declare_gone(fabric.subscription)
    with pytest.raises(DrainError, match=f"undeployed in {HOME}"):
        retirement(fabric).drain(lambda seconds: None)
    assert facts(fabric, HOME).state.value == "undeployed"


def test_a_region_that_does_not_answer_is_named_and_it_can_be_repeated() -> None:
    fabric = declared(fabric_of(Failing({})))
    ending = retirement(fabric, without_away(fabric))
    assert [(look.region, bool(look.error)) for look in ending.look()] == [(HOME, False), (AWAY, True)]
    with pytest.raises(DrainError, match=f"no answer of {AWAY}"):
        ending.drain(lambda seconds: None)
    assert ending.end() == [HOME]
    assert [*ending.unanswered] == [AWAY]
    assert retirement(fabric).end() == [AWAY]


def test_a_name_that_nobody_declared_is_unknown() -> None:
    fabric = declared(fabric_of(Failing({})))
    with pytest.raises(UnknownNameError, match=f"'other'; there are: {SUBSCRIPTION}"):
        Retirement.of(fabric.topology, "other", fabric.ports(), by="me")
