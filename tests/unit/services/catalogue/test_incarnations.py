"""Operators see the state of the incarnation that is declared."""

from dataclasses import replace

import pytest

from eventfabric.errors import OutcomeUnknownError, SettingError, UnknownNameError
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declaration, State, in_state
from eventfabric.sdk.operations import Operations
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.facts import rung_subscriptions
from eventfabric.services.catalogue.incarnations import DeclaredTopology, as_declared
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.topology import Topology
from tests.support.dead_letters import ONCE
from tests.support.failing_handlers import Failing, drained, fabric_of, named
from tests.support.memory_fabric import HOME, STREAM
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def deployer(fabric: SubscribedStream, request: str) -> Deployer:
    return Deployer(fabric.topology, HOME, fabric.ports(), by="stack", request_id=request)


def operations(fabric: SubscribedStream) -> Operations:
    return Operations(as_declared(fabric.topology, HOME, fabric.ports()), HOME, fabric.ports())


def retire(fabric: SubscribedStream, name: str) -> None:
    change = deployer(fabric, "retire").change("retired", name)

    def retired(read: Declaration | None) -> Declaration | None:
        return read and in_state(read, name, State.RETIRED, change)

    lane = DeclarationLane.of(HOME, StreamName(STREAM))
    log = fabric.ports().log_of(fabric.stream)
    declare(log, lane, retired, clock=fabric.clock, entropy=fabric.entropy, source="/shop/orders")


def retire_and_deploy(fabric: SubscribedStream, name: str) -> None:
    retire(fabric, name)
    deployer(fabric, "again").declare_subscription(fabric.topology.subscription(name))


def test_the_incarnations_are_those_that_the_region_declares() -> None:
    fabric = SubscribedStream()
    name = fabric.stream.subscriptions[0].name
    assert as_declared(fabric.topology, HOME, fabric.ports()).subscription(name).state_name == name
    declare_all(deployer(fabric, "first"))
    assert as_declared(fabric.topology, HOME, fabric.ports()).subscription(name).state_name == name
    retire_and_deploy(fabric, name)
    declared = as_declared(fabric.topology, HOME, fabric.ports())
    assert declared.subscription(name).state_name == f"{name}#1"
    assert len(declared.incarnations) == len(fabric.topology.subscriptions)


def test_whoever_stays_for_long_sees_a_new_incarnation_within_a_minute() -> None:
    fabric = SubscribedStream()
    name = fabric.stream.subscriptions[0].name
    declare_all(deployer(fabric, "first"))
    declared = as_declared(fabric.topology, HOME, fabric.ports())
    own = declared.subscription(name)
    assert own.state_name == name
    retire_and_deploy(fabric, name)
    fabric.clock.advance(seconds=CATALOGUE_SECONDS)
    assert own.state_name == declared.subscription(name).state_name == f"{name}#1"


def test_they_are_read_once_and_only_when_somebody_asks() -> None:
    fabric = SubscribedStream()
    declare_all(deployer(fabric, "first"))
    faults = Faults()
    declared = as_declared(fabric.topology, HOME, faults.ports(fabric.ports()))
    own = declared.subscription(fabric.stream.subscriptions[0].name)
    assert declared.stream(STREAM).subscriptions
    assert faults.count("log.tail") == 0
    for _ in range(3):
        assert own.state_name == own.name
    assert faults.count("log.tail") == 1


def test_what_cannot_be_read_is_no_first_incarnation() -> None:
    fabric = SubscribedStream()
    faults = Faults(nth(1, Fault.LOST_REQUEST))
    declared = as_declared(fabric.topology, HOME, faults.ports(fabric.ports()))
    own = declared.subscription(fabric.stream.subscriptions[0].name)
    with pytest.raises(OutcomeUnknownError):
        assert own.state_name


def test_an_operator_pauses_the_subscription_that_is_deployed() -> None:
    fabric = SubscribedStream()
    name = fabric.stream.subscriptions[0].name
    declare_all(deployer(fabric, "first"))
    before = Operations(as_declared(fabric.topology, HOME, fabric.ports()), HOME, fabric.ports())
    before.pause(name, "before")
    retire_and_deploy(fabric, name)
    after = Operations(as_declared(fabric.topology, Region(HOME), fabric.ports()), HOME, fabric.ports())
    assert after.circuit(name).state.value == "closed"
    assert before.circuit(name).state.value == "paused"


def without_subscriptions(fabric: SubscribedStream) -> DeclaredTopology:
    """The fabric by a definition that names no subscription."""
    definition = replace(fabric.topology.definition, subscriptions={})
    return as_declared(Topology(definition), HOME, fabric.ports())


def test_a_subscription_that_the_definition_lacks_is_found_as_it_is_declared() -> None:
    fabric = SubscribedStream()
    declare_all(deployer(fabric, "first"))
    retire_and_deploy(fabric, SUBSCRIPTION)
    topology = without_subscriptions(fabric)
    assert topology.subscription(SUBSCRIPTION).state_name == f"{SUBSCRIPTION}#1"
    assert [own.state_name for own in topology.subscriptions_of(fabric.stream)] == [f"{SUBSCRIPTION}#1"]
    with pytest.raises(UnknownNameError):
        topology.subscription("another")


@pytest.mark.parametrize(("state", "is_listed"), [(State.UNDEPLOYED, True), (State.RETIRED, False)])
def test_what_was_retired_is_found_by_its_name_and_listed_nowhere(state: State, is_listed: bool) -> None:
    fabric = SubscribedStream()
    declare_all(deployer(fabric, "first"))
    deployer(fabric, "then").declare_state(fabric.stream, SUBSCRIPTION, state)
    topology = without_subscriptions(fabric)
    assert topology.subscription(SUBSCRIPTION).definition.types == fabric.subscription.definition.types
    assert bool(topology.subscriptions_of(fabric.stream)) is is_listed


def test_a_subscription_of_both_is_listed_once() -> None:
    fabric = SubscribedStream()
    declare_all(deployer(fabric, "first"))
    topology = as_declared(fabric.topology, HOME, fabric.ports())
    assert [own.name for own in topology.subscriptions_of(fabric.stream)] == [SUBSCRIPTION]


@pytest.mark.parametrize("state", [State.ACTIVE, State.DRAINING])
def test_doorbells_and_passes_are_for_the_incarnation_that_is_declared(state: State) -> None:
    fabric = SubscribedStream()
    declare_all(deployer(fabric, "first"))
    deployer(fabric, "end").declare_state(fabric.stream, SUBSCRIPTION, State.RETIRED)
    deployer(fabric, "anew").declare_subscription(fabric.subscription)
    known = deployer(fabric, "then").declare_state(fabric.stream, SUBSCRIPTION, state)
    assert known is not None
    for stream in (fabric.stream, replace(fabric.stream, subscriptions=())):
        rung = rung_subscriptions(stream, known.declaration)
        assert [own.state_name for own in rung] == [f"{SUBSCRIPTION}#1"]


def test_nothing_is_redriven_of_what_is_retired() -> None:
    fabric = drained(fabric_of(Failing({"a1": 99}), *named("a1"), **ONCE))
    fabric.declare()
    [letter] = operations(fabric).dead_letters(SUBSCRIPTION).find()
    retire(fabric, SUBSCRIPTION)
    letters = operations(fabric).dead_letters(SUBSCRIPTION)
    assert [own.place for own in letters.find()] == [letter.place]
    with pytest.raises(SettingError, match=f"{SUBSCRIPTION}, which is retired"):
        letters.redrive(letter)
