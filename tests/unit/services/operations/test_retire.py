"""Retire: what is left of a subscription, draining it, and ending it in every Region."""

from dataclasses import replace

import pytest

from eventfabric.errors import DrainError, SettingError, UndecodableRecordError, UnknownNameError
from eventfabric.model import (
    DeclarationLane,
    Lane,
    LaneKey,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.catalogue import State, SubscriptionFacts
from eventfabric.ports import Ports
from eventfabric.sdk.operations import Operations
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.operations.retire import WAIT_SECONDS, RegionLeft, Retirement
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.topology import Topology
from tests.support.failing_handlers import FEW, Failing, fabric_of
from tests.support.later_declarations import append_content
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream, topology


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


def retirement(fabric: MemoryFabric, ports: Ports | None = None) -> Retirement:
    return Retirement.of(fabric.topology, SUBSCRIPTION, ports or fabric.ports(HOME), by="me")


def facts(fabric: MemoryFabric, region: Region) -> SubscriptionFacts:
    known = newest(fabric.cloud.log(STREAM, region), DeclarationLane.of(region, StreamName(STREAM)))
    assert known is not None
    return known.declaration.subscriptions[SUBSCRIPTION]


def deployer(fabric: MemoryFabric, region: Region, request_id: str) -> Deployer:
    return Deployer(fabric.topology, region, fabric.ports(region), by="stack", request_id=request_id)


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
    deployer(fabric, HOME, "r2").declare_gone(fabric.subscription)
    with pytest.raises(DrainError, match=f"undeployed, and something is left in {HOME}: deploy it again"):
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


def test_a_subscription_that_is_undeployed_is_ended_too() -> None:
    fabric = declared(fabric_of(Failing({})))
    deployer(fabric, HOME, "gone").declare_gone(fabric.subscription)
    assert retirement(fabric).end() == [HOME, AWAY]
    assert facts(fabric, HOME).state is State.RETIRED


def test_where_it_is_undeployed_and_nothing_is_left_it_is_drained() -> None:
    fabric = with_events()
    deployer(fabric, AWAY, "gone").declare_gone(fabric.subscription)
    ending = retirement(fabric)
    ending.drain(lambda seconds: fabric.deliver_all())
    assert ending.end() == [HOME, AWAY]


def test_a_life_that_began_since_somebody_looked_is_not_ended() -> None:
    fabric = declared(fabric_of(Failing({})))
    ending = retirement(fabric)
    assert retirement(fabric, without_away(fabric)).end() == [HOME]  # somebody else was faster
    deployer(fabric, HOME, "new").declare_subscription(fabric.subscription)
    assert ending.end() == [AWAY]
    assert (facts(fabric, HOME).state, facts(fabric, HOME).incarnation) == (State.ACTIVE, 1)


def test_where_it_was_not_ended_that_is_done_first_and_the_next_life_goes_on() -> None:
    fabric = with_events()
    assert retirement(fabric, without_away(fabric)).end() == [HOME]
    deployer(fabric, HOME, "new").declare_subscription(fabric.subscription)
    fabric.cloud.replicate()
    finishing = retirement(fabric)
    assert [look.region for look in finishing.look()] == [AWAY]
    assert finishing.end() == [AWAY]
    assert (facts(fabric, HOME).incarnation, facts(fabric, AWAY).highest) == (1, 1)
    fabric.cloud.replicate()
    assert counts(retirement(fabric).look()) == {HOME: [(1, 0, 0), (1, 0, 0)]}  # of the next life


def test_what_a_former_life_has_delivered_is_left_of_the_next_one() -> None:
    fabric = with_events()
    fabric.relay_all()
    fabric.deliver_all()
    assert counts(retirement(fabric).look())[HOME] == [(0, 0, 0), (0, 0, 0)]
    assert retirement(fabric).end() == [HOME, AWAY]
    fabric.cloud.replicate()
    deployer(fabric, HOME, "new").declare_subscription(fabric.subscription)
    assert counts(retirement(fabric).look()) == {HOME: [(1, 0, 0), (1, 0, 0)]}


def test_it_is_ended_where_the_stream_is_declared_whatever_the_definition_has() -> None:
    fabric = declared(fabric_of(Failing({})))
    fabric.producer(AWAY).publish(STREAM, key="a", type="placed")
    definition = fabric.topology.definition
    only = replace(definition.streams[STREAM], regions=(HOME,))
    section = replace(definition.fabric, regions=(HOME,))
    without = Topology(replace(definition, fabric=section, streams={STREAM: only}))
    ending = Retirement.of(without, SUBSCRIPTION, fabric.ports(HOME), by="me")
    assert [own.lane.origin for look in ending.look() for own in look.lanes if own.waiting] == [AWAY]
    assert ending.end() == [HOME, AWAY]


def test_a_name_that_another_stream_has_now_is_ended_there() -> None:
    others = '[streams.other]\n[subscriptions.more]\nstream = "other"\nhandler = "a:b"\n'
    fabric = MemoryFabric(topology(others=others))
    fabric.declare()
    deployer(fabric, HOME, "end").declare_state(fabric.stream, SUBSCRIPTION, State.RETIRED)
    with pytest.raises(SettingError, match="which is retired"):
        retirement(fabric)
    moved = fabric.topology.subscription(SUBSCRIPTION)
    moved = replace(moved, definition=replace(moved.definition, stream="other"))
    deployer(fabric, HOME, "move").declare_subscription(moved)
    assert retirement(fabric).stream.name == "other"


def test_what_is_paused_does_not_drain() -> None:
    fabric = with_events()
    Operations(fabric.topology, HOME, fabric.ports()).pause(SUBSCRIPTION)
    with pytest.raises(DrainError, match=f"paused, and something is left in {HOME}: resume it"):
        retirement(fabric).drain(lambda seconds: None)


def test_what_is_deployed_again_while_it_drains_is_not_ended() -> None:
    fabric = with_events()
    ending = retirement(fabric)

    def wait(seconds: float) -> None:
        deployer(fabric, HOME, "again").declare_subscription(fabric.subscription)

    with pytest.raises(DrainError, match=f"deployed again in {HOME}"):
        ending.drain(wait)
    assert ending.end() == [AWAY]
    assert ending.unanswered == {HOME: "it was deployed again meanwhile"}
    assert facts(fabric, HOME).state is State.ACTIVE


def test_each_region_is_waited_for_up_to_what_it_had_at_the_first_look() -> None:
    """Where every Region delivers all lanes, one of them may know more of a lane than another."""
    fabric = declared(fabric_of(Failing({}), deliver="everywhere"))
    fabric.put(event("a"))
    fabric.cloud.replicate()
    fabric.put(event("b"))  # which the other Region has not got yet

    def wait(seconds: float) -> None:
        fabric.deliver_all()
        fabric.in_region(AWAY, handler=fabric.recorder).deliver_all()
        assert len(waits) == 2

    waits: list[RegionLeft] = []
    retirement(fabric).drain(wait, advance=waits.extend)
    assert {look.region: [own.waiting for own in look.lanes] for look in waits} == {HOME: [2], AWAY: [1]}


def test_a_name_that_nobody_declared_is_unknown() -> None:
    fabric = declared(fabric_of(Failing({})))
    with pytest.raises(UnknownNameError, match=f"'other'; there are: {SUBSCRIPTION}"):
        Retirement.of(fabric.topology, "other", fabric.ports(), by="me")


def test_a_spoilt_declaration_of_another_stream_is_in_nobodys_way() -> None:
    others = '[streams.another]\n[subscriptions.audit]\nstream = "another"\nhandler = "a:b"\n'
    fabric = declared(SubscribedStream(others=others))
    spoilt = DeclarationLane.of(HOME, StreamName(STREAM))
    append_content(fabric.log, spoilt, fabric.clock, lambda content: b"{}")
    ending = Retirement.of(fabric.topology, "audit", fabric.ports(HOME), by="me")
    assert sorted(ending.end()) == sorted([HOME, AWAY])
    for name in (SUBSCRIPTION, "nobody"):  # which may be there
        with pytest.raises(UndecodableRecordError):
            Retirement.of(fabric.topology, name, fabric.ports(HOME), by="me")


class TestCredits:
    """Grants to producers, which a subscription that held them back leaves."""

    KEY = LaneKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), lane(0))

    def granted(self, fabric: SubscribedStream, region: Region, name: str = SUBSCRIPTION) -> bool:
        credits = fabric.ports(region).credits
        return bool(credits.granted(StreamName(STREAM), SubscriptionName(name), HOME, part=0).get(region))

    def with_grants(self) -> SubscribedStream:
        """Return a fabric in both of whose Regions something was granted, also for another incarnation."""
        fabric = with_events()
        for region in (HOME, AWAY):
            for key in (self.KEY, replace(self.KEY, subscription=SubscriptionName(f"{SUBSCRIPTION}#2"))):
                fabric.ports(region).credits.grant(key, SequenceNumber(16))
        return fabric

    def test_are_deleted_in_each_region_and_those_of_no_other_incarnation(self) -> None:
        fabric = self.with_grants()
        assert retirement(fabric).end() == [HOME, AWAY]
        for region in (HOME, AWAY):
            assert not self.granted(fabric, region)
            assert self.granted(fabric, region, f"{SUBSCRIPTION}#2")

    def test_are_deleted_for_every_origin(self) -> None:
        fabric = with_events()
        away = Lane(AWAY, lane(0).generation, lane(0).index)
        credits = fabric.ports(HOME).credits
        credits.grant(replace(self.KEY, lane=away), SequenceNumber(16))
        retirement(fabric).end()
        assert credits.granted(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), AWAY, part=0) == {}

    def test_stay_while_it_is_only_looked_at_or_drains(self) -> None:
        fabric = self.with_grants()
        ending = retirement(fabric)
        ending.look()

        def wait(seconds: float) -> None:
            fabric.deliver_all()

        ending.drain(wait)
        assert self.granted(fabric, HOME)

    def test_that_cannot_be_deleted_leave_it_as_it_is_until_it_is_done_again(self) -> None:
        fabric = self.with_grants()
        faults = Faults(nth(1, Fault.THROTTLED, name="credits.forget"))
        here = fabric.ports(HOME)
        ports = replace(here, at=lambda region: faults.ports(fabric.ports(region)))
        first = retirement(fabric, ports)
        assert first.end() == [AWAY]
        assert list(first.unanswered) == [HOME]
        assert facts(fabric, HOME).state is State.ACTIVE
        assert retirement(fabric).end() == [HOME]
        assert not self.granted(fabric, HOME)
