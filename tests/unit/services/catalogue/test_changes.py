"""The history of what is declared: who changed what, newest first."""

from dataclasses import replace
from itertools import islice

from eventfabric.model import Region, StreamName
from eventfabric.model.catalogue import State
from eventfabric.services.catalogue.changes import MemberChange, PastChange, changes
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric
from tests.support.subscribed_stream import SUBSCRIPTION, topology

RECENT = "log.tail"
FIRST = {("", "is_deployed", None, True), (SUBSCRIPTION, "state", None, State.ACTIVE)}


def changed_in(fabric: MemoryFabric, *regions: Region) -> list[PastChange]:
    fabric.cloud.replicate()
    return list(changes(fabric.ports().log_of(fabric.stream), StreamName(STREAM), regions))


def members(past: PastChange) -> set[tuple[str, str, object, object]]:
    return {(own.of, own.member, own.before, own.after) for own in past.members}


def closing(wanted: Topology) -> Topology:
    section = replace(wanted.definition.fabric, closing=(AWAY,))
    return Topology(replace(wanted.definition, fabric=section))


def test_each_change_says_what_is_different_from_the_declaration_before() -> None:
    fabric = MemoryFabric(topology())
    fabric.declare()
    fabric.clock.advance(60)
    wanted = closing(fabric.topology)
    fabric.declare(wanted)
    retirement = Deployer(wanted, HOME, fabric.ports(), by="ann", request_id="r")
    retirement.declare_state(fabric.stream, SUBSCRIPTION, State.RETIRED)

    retired, closed, first = changed_in(fabric, HOME)
    assert (retired.change.by, retired.change.kind, retired.change.of) == ("ann", "retired", SUBSCRIPTION)
    assert retired.members == (MemberChange(SUBSCRIPTION, "state", State.ACTIVE, State.RETIRED),)
    now_ms = fabric.clock.now_ms()
    assert members(closed) == {("", "closing", (), (AWAY,)), ("", "closing_since_ms", 0, now_ms)}
    assert members(first) == FIRST


def test_changes_of_all_regions_come_newest_first() -> None:
    fabric = MemoryFabric(topology())
    for wanted, region in ((None, HOME), (None, AWAY), (closing(fabric.topology), HOME)):
        fabric.clock.advance(60)
        fabric.declare(wanted, region)
    assert [past.region for past in changed_in(fabric, HOME, AWAY)] == [HOME, AWAY, HOME]


def test_only_as_much_is_read_as_somebody_asks_for() -> None:
    fabric = MemoryFabric(topology())
    for number in range(30):
        fabric.clock.advance(60)
        fabric.declare(closing(fabric.topology) if number % 2 else fabric.topology)
    faults = Faults()
    log = faults.log(fabric.ports().log_of(fabric.stream))
    assert len(list(islice(changes(log, StreamName(STREAM), [HOME]), 5))) == 5
    few = faults.count(RECENT)
    assert len(list(changes(log, StreamName(STREAM), [HOME]))) == 30
    assert (few, faults.count(RECENT)) == (1, 3)
