"""Announced ends of event types: declared, read by whoever has no definition, and never brought forward."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.definition.sections import Deprecation, TypeSection
from eventfabric.model.catalogue import Declaration, DeclaredChange, StreamFacts
from eventfabric.services.catalogue.changes import changes
from eventfabric.services.catalogue.check import Checker
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.facts import declared_stream, stream_facts
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.topology import Topology
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric
from tests.support.subscribed_stream import topology

TODAY = "2026-09-21"
"""The day of the clock that tests begin with."""
SINCE, SOON, LATER = "2026-09-01", "2026-12-01", "2027-06-01"


def ending(**end: Any) -> Topology:
    """A fabric whose type Placed is deprecated like this; without anything said, it is not."""
    plain = topology()
    sections = {"Placed": TypeSection(deprecated=Deprecation(since=SINCE, **end))} if end else {}
    orders = replace(plain.definition.streams[STREAM], types=sections)
    return Topology(replace(plain.definition, streams={STREAM: orders}))


def deploy(fabric: MemoryFabric, wanted: Topology) -> None:
    for region in (HOME, AWAY):
        request = f"{region}{id(wanted)}"
        declare_all(Deployer(wanted, region, fabric.ports(region), by="stack", request_id=request))
    fabric.cloud.replicate()


def refused(before: Topology, after: Topology) -> list[str]:
    """Where a deployment of `after` is refused, if `before` is deployed."""
    fabric = MemoryFabric(before)
    deploy(fabric, before)
    checker = Checker(after, HOME, fabric.ports(HOME), None, one_after_another)
    return [problem.path for problem in checker.of_stream(after.stream(STREAM))]


def test_who_has_no_definition_learns_of_it_within_a_minute() -> None:
    plain = ending()
    fabric = MemoryFabric(plain)
    deploy(fabric, plain)
    streams = DeclaredStreams(
        plain.fabric,
        [HOME],
        log_of=lambda stream, region: fabric.ports(region).log_of(stream),
        clock=fabric.clock,
    )
    assert streams.stream(STREAM).definition.types == {}
    deploy(fabric, ending(sunset=LATER, use="Accepted", why="renamed"))
    fabric.clock.advance(61)
    end = streams.stream(STREAM).definition.types["Placed"].deprecated
    assert end == Deprecation(since=SINCE, sunset=LATER, use="Accepted", why="renamed")


@pytest.mark.parametrize("end", [{"sunset": LATER}, {"use": "Accepted"}, {"why": "nobody needs it"}])
def test_what_is_declared_is_what_the_definition_says(end: dict[str, str]) -> None:
    wanted = ending(**end)
    facts = stream_facts(wanted, wanted.stream(STREAM))
    change = DeclaredChange(kind="deployed", by="-", request_id="-", version="-", at_ms=1)
    declared = declared_stream(wanted.fabric, Declaration(stream=facts, change=change))
    assert declared.definition.types == wanted.definition.streams[STREAM].types


def test_types_that_are_not_deprecated_take_no_room() -> None:
    plain = topology()
    orders = replace(plain.definition.streams[STREAM], types={"Placed": TypeSection(compatibility=None)})
    wanted = Topology(replace(plain.definition, streams={STREAM: orders}))
    assert stream_facts(wanted, wanted.stream(STREAM)).deprecated == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"sunset": SOON}),
        ({}, {"why": "one day"}),
        ({"why": "one day"}, {"sunset": SOON}),
        ({"sunset": SOON}, {"sunset": SOON, "use": "Accepted"}),
        ({"sunset": SOON}, {"sunset": LATER}),
        ({"sunset": SOON}, {"why": "not yet"}),
        ({"sunset": SOON}, {}),
    ],
)
def test_a_sunset_may_be_announced_and_put_off(before: dict[str, str], after: dict[str, str]) -> None:
    assert refused(ending(**before), ending(**after)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"sunset": LATER}, {"sunset": SOON}),
        ({"sunset": LATER}, {"sunset": "2027-05-31"}),
        ({}, {"sunset": TODAY}),
        ({"why": "one day"}, {"sunset": SINCE}),
    ],
)
def test_a_sunset_is_not_brought_forward_nor_announced_too_late(
    before: dict[str, str], after: dict[str, str]
) -> None:
    # Home is where it was deployed; both Regions have declared the same.
    assert set(refused(ending(**before), ending(**after))) == {
        "streams.orders.types.Placed.deprecated.sunset"
    }


def test_a_deployment_after_the_sunset_says_the_same_again() -> None:
    wanted = ending(sunset=SOON)
    fabric = MemoryFabric(wanted)
    deploy(fabric, wanted)
    fabric.clock.advance(365 * 86_400)
    checker = Checker(wanted, HOME, fabric.ports(HOME), None, one_after_another)
    assert list(checker.of_stream(wanted.stream(STREAM))) == []


def test_the_history_shows_when_it_was_announced() -> None:
    plain = ending()
    fabric = MemoryFabric(plain)
    deploy(fabric, plain)
    deploy(fabric, ending(sunset=LATER))
    log = fabric.ports(HOME).log_of(fabric.stream)
    [newest, *_] = changes(log, fabric.stream.name, [HOME])  # type: ignore[arg-type]  # a name as any text
    assert [(own.member, own.before) for own in newest.members] == [("deprecated", ())]


def test_facts_of_a_stream_say_nothing_of_it_by_default() -> None:
    assert StreamFacts(name="orders", regions=("us-east-1",), lanes=1).deprecated == ()
