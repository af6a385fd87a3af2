"""Abandoned subscriptions: nobody delivers them any more, and what they have left is neither lost nor forgotten."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import State
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Ports
from eventfabric.sdk.operations import Operations
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.abandoned import AbandonedReader
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology
from tests.support.dead_letters import mended_fabric
from tests.support.memory_fabric import AWAY, HOME, STREAM, event
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

PASS_SECONDS = 300


class Passes:
    """Passes of one Region as a function makes them: it stays, and sees what is declared."""

    def __init__(self, fabric: SubscribedStream, region: Region = HOME) -> None:
        self.fabric, self.region, self.faults = fabric, region, Faults()
        self.ports: Ports = self.faults.ports(fabric.ports(region))
        self.reader = AbandonedReader(region, self.ports, one_after_another)

    def make(self, seconds: float = PASS_SECONDS) -> list[Finding]:
        """Make a pass, by default five minutes after the last one."""
        fabric = self.fabric
        fabric.clock.advance(seconds)
        fabric.cloud.replicate()
        known = newest(
            fabric.cloud.log(STREAM, self.region), DeclarationLane.of(self.region, StreamName(STREAM))
        )
        declaration = None if known is None else known.declaration
        reconciler = Reconciler(
            replace(fabric.stream, subscriptions=()),
            region=self.region,
            ports=self.ports,
            telemetry=fabric.telemetry,
            beside=partial(self.reader.findings, fabric.stream, declaration),
        )
        return list(reconciler.run(repair=True))

    def texts(self, seconds: float = PASS_SECONDS) -> list[str]:
        findings = self.make(seconds)
        assert {finding.kind for finding in findings} <= {FindingKind.ABANDONED}
        assert all(finding.is_alarm for finding in findings)
        return [f"{finding.subscription}: {finding.detail}" for finding in findings]

    def states_read(self) -> int:
        """Make a pass in which nothing is found, and count the states that it reads."""
        before = self.faults.count("ledger.state")
        assert self.make() == []
        return self.faults.count("ledger.state") - before


def declared(fabric: SubscribedStream) -> SubscribedStream:
    for region in (HOME, AWAY):
        fabric.declare(region=region)
    fabric.cloud.replicate()
    return fabric


def declare_state(fabric: SubscribedStream, state: State, region: Region = HOME) -> None:
    deployer = Deployer(fabric.topology, region, fabric.ports(region), by="stack", request_id=state)
    deployer.declare_state(fabric.stream, SUBSCRIPTION, state)


def undeployed(*names: str, **settings: Any) -> SubscribedStream:
    """A fabric with these events, whose subscription is undeployed in the first Region."""
    fabric = declared(SubscribedStream(**settings))
    for name in names:
        fabric.put(event(name))
    declare_state(fabric, State.UNDEPLOYED)
    return fabric


def without_away(fabric: SubscribedStream) -> Topology:
    definition = fabric.topology.definition
    orders = replace(definition.streams[STREAM], regions=(HOME,))
    return Topology(replace(definition, streams={**definition.streams, STREAM: orders}))


def test_events_that_wait_for_an_undeployed_subscription_are_told_at_every_pass() -> None:
    fabric = undeployed("a", "b")
    passes = Passes(fabric)
    for _ in range(2):
        assert passes.texts() == [
            "billing: it is not deployed any more in us-east-1, where it has 2 events that wait"
        ]
        assert fabric.telemetry.gauges[Metric.FINDINGS_ALARMED, STREAM] == 1


def test_dead_letters_are_told() -> None:
    fabric = declared(mended_fabric("a", "b"))
    declare_state(fabric, State.UNDEPLOYED)
    (text,) = Passes(fabric).texts()
    assert "where it has 2 dead letters" in text


@pytest.mark.parametrize("state", [None, State.DRAINING, State.RETIRED])
def test_what_is_deployed_or_retired_is_not_abandoned(state: State | None) -> None:
    fabric = declared(SubscribedStream())
    fabric.put(event("a"))
    if state is not None:
        declare_state(fabric, state)
    assert Passes(fabric).texts() == []


def test_a_fabric_in_which_nothing_is_declared_has_nothing_abandoned() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    assert Passes(fabric).texts() == []


def test_it_is_over_once_the_subscription_is_retired_or_deployed_again() -> None:
    for state in (State.RETIRED, None):
        fabric = undeployed("a")
        passes = Passes(fabric)
        assert len(passes.texts()) == 1
        fabric.declare() if state is None else declare_state(fabric, state)
        assert passes.texts() == []
        assert fabric.telemetry.gauges[Metric.FINDINGS_ALARMED, STREAM] == 0


def test_a_stack_that_is_deployed_again_within_minutes_alarms_nobody() -> None:
    fabric = undeployed("a")
    passes = Passes(fabric)
    assert passes.texts(limits.UNRUNG_SECONDS - 1) == []
    assert len(passes.texts(1)) == 1


def test_events_that_nobody_wants_do_not_wait() -> None:
    assert Passes(undeployed("a", types=["shipped"])).texts() == []


def test_each_region_looks_at_its_own_as_long_as_it_is_deployed() -> None:
    fabric = declared(SubscribedStream())
    fabric.producer(AWAY).publish(STREAM, key="a", type="placed")
    declare_state(fabric, State.UNDEPLOYED, AWAY)
    assert Passes(fabric).texts() == []
    assert len(Passes(fabric, AWAY).texts()) == 1


def test_the_first_region_looks_at_one_whose_functions_are_gone() -> None:
    fabric = declared(SubscribedStream())
    fabric.producer(AWAY).publish(STREAM, key="a", type="placed")
    fabric.put(event("mine"))  # its own subscription delivers that
    declare_state(fabric, State.UNDEPLOYED, AWAY)
    Deployer(fabric.topology, AWAY, fabric.ports(AWAY), by="stack", request_id="cell").declare_stream_gone(
        fabric.stream
    )
    (text,) = Passes(fabric).texts()
    assert text == "billing: it is not deployed any more in eu-west-1, where it has 1 events that wait"


class TestRegionsThatTheStreamHasLeft:
    def left(self, *, is_empty: bool = False, **settings: Any) -> SubscribedStream:
        """A stream that was in another Region, with an event there."""
        fabric = declared(SubscribedStream(**settings))
        if not is_empty:
            fabric.producer(AWAY).publish(STREAM, key="a", type="placed")
        fabric.cloud.replicate()
        Passes(fabric).make()  # it has seen the lane
        fabric.declare(without_away(fabric))
        return fabric

    def stayed(self, fabric: SubscribedStream) -> Passes:
        passes = Passes(fabric)
        fabric.topology = without_away(fabric)
        return passes

    def test_what_is_left_there_is_told_without_a_read_of_its_lanes(self) -> None:
        passes = self.stayed(self.left())
        (text,) = passes.texts()
        assert text == "billing: the stream has left eu-west-1, where it has 1 events that wait"

    def test_what_others_publish_since_is_not_awaited_there(self) -> None:
        fabric = self.left(is_empty=True, deliver="everywhere")
        fabric.put(event("later"))
        assert self.stayed(fabric).texts() == []

    def test_where_no_beginning_is_known_and_the_log_may_not_be_read_nothing_waits(self) -> None:
        assert self.stayed(self.left(start="latest")).texts() == []

    def test_what_is_retired_since_is_decided(self) -> None:
        fabric = self.left()
        declare_state(fabric, State.RETIRED)
        assert self.stayed(fabric).texts() == []


def test_that_a_former_life_had_left_nothing_says_nothing_of_the_next() -> None:
    fabric = declared(SubscribedStream())
    fabric.put(event("a"))
    fabric.deliver()
    declare_state(fabric, State.UNDEPLOYED)
    passes = Passes(fabric)
    assert passes.texts() == passes.texts() == []
    declare_state(fabric, State.RETIRED)
    deployer = Deployer(fabric.topology, HOME, fabric.ports(), by="stack", request_id="again")
    deployer.declare_subscription(fabric.subscription)
    gone = Deployer(fabric.topology, HOME, fabric.ports(), by="stack", request_id="gone again")
    gone.declare_state(fabric.stream, SUBSCRIPTION, State.UNDEPLOYED)
    assert passes.texts() == [
        "billing: it is not deployed any more in us-east-1, where it has 1 events that wait"
    ]


def test_a_clock_that_is_set_back_lets_no_deployment_be_under_way_for_ever() -> None:
    fabric = undeployed("a")
    Passes(fabric).make()  # notes how far the lanes go
    fabric.clock.set_back(3600)
    assert FindingKind.ABANDONED in {finding.kind for finding in Passes(fabric).make()}


class TestTheFirstRegion:
    """Nobody is left there who could look."""

    def gone(self) -> SubscribedStream:
        fabric = declared(SubscribedStream())
        fabric.put(event("a"))
        fabric.cloud.replicate()
        Passes(fabric, AWAY).make()
        declare_state(fabric, State.UNDEPLOYED)
        deployer = Deployer(fabric.topology, HOME, fabric.ports(HOME), by="stack", request_id="cell")
        deployer.declare_stream_gone(fabric.stream)
        return fabric

    def test_the_next_one_looks_at_it_once_its_functions_are_gone(self) -> None:
        passes = Passes(self.gone(), AWAY)
        assert passes.texts(1) == []  # a deployment may be under way
        assert passes.texts(limits.UNRUNG_SECONDS) == [
            "billing: it is not deployed any more in us-east-1, where it has 1 events that wait"
        ]

    def test_what_came_back_in_another_life_is_decided(self) -> None:
        fabric = self.gone()
        declare_state(fabric, State.RETIRED, AWAY)
        again = Deployer(fabric.topology, AWAY, fabric.ports(AWAY), by="stack", request_id="again")
        again.declare_subscription(fabric.subscription)
        fabric.clock.advance(limits.UNRUNG_SECONDS)
        assert Passes(fabric, AWAY).texts() == []


class TestCost:
    @pytest.mark.parametrize("region", [HOME, AWAY])
    def test_where_all_is_deployed_one_item_more_is_read(self, region: Region) -> None:
        fabric = declared(SubscribedStream())
        own = newest(fabric.cloud.log(STREAM, region), DeclarationLane.of(region, StreamName(STREAM)))
        assert own is not None
        faults = Faults()
        reader = AbandonedReader(region, faults.ports(fabric.ports(region)), one_after_another)
        fabric.clock.advance(PASS_SECONDS)
        assert list(reader.findings(fabric.stream, own.declaration)) == []
        assert faults.calls == [
            "log.tail"
        ]  # of each other Region by the first, and of that one by the others

    def test_where_nothing_is_left_states_are_read_once_an_hour_or_when_the_lanes_grow(self) -> None:
        fabric = undeployed()
        passes = Passes(fabric)
        assert passes.states_read() == fabric.stream.definition.lanes
        for _ in range(pass_bounds.REST_SECONDS // PASS_SECONDS - 1):
            assert passes.states_read() == 0
        assert passes.states_read() == fabric.stream.definition.lanes
        fabric.put(event("a"))
        assert len(passes.texts()) == 1


def test_a_region_that_does_not_answer_fails_the_pass_at_its_end() -> None:
    fabric = undeployed("a")
    passes = Passes(fabric)
    passes.make()

    def standing(*_: object) -> None:
        raise OutcomeUnknownError("Query", "no reply")

    passes.reader.findings = standing  # type: ignore[method-assign,assignment]  # raises at once
    with pytest.raises(OutcomeUnknownError):
        passes.make()


def test_a_declaration_of_a_later_version_elsewhere_is_a_finding() -> None:
    fabric = declared(SubscribedStream())
    lane_away = DeclarationLane.of(AWAY, StreamName(STREAM))

    fabric.put(event("to come"), of=lane_away)
    passes = Passes(fabric)
    (finding,) = passes.make()
    assert (finding.kind, finding.lane) == (FindingKind.UNREADABLE, lane_away)


def test_operators_see_it_and_what_is_declared_beside_the_definition() -> None:
    fabric = undeployed("a")
    fabric.clock.advance(PASS_SECONDS)
    other = Topology(replace(fabric.topology.definition, subscriptions={}))
    for topology in (fabric.topology, other):
        operations = Operations(topology, HOME, fabric.ports())
        operations.reconcile(STREAM, repair=True)
        assert [finding.kind for finding in operations.reconcile(STREAM)] == [FindingKind.ABANDONED]
    fabric.declare()
    findings = Operations(other, HOME, fabric.ports()).reconcile(STREAM)
    assert [(finding.kind, finding.subscription) for finding in findings] == [
        (FindingKind.UNRUNG, SUBSCRIPTION)
    ]
