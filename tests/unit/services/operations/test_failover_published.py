"""Handovers by a Region whose handlers publish: the target waits for what they published, too."""

import pytest

from eventfabric.errors import FailoverError
from eventfabric.model import CircuitState
from tests.support.failovers import Waiting, failover
from tests.support.memory_fabric import AWAY, event, lane
from tests.support.messages import raises_with
from tests.support.publishing_stream import INVOICES, PublishingStream, bill_and_count
from tests.unit.services.operations.test_failover import SETTLE_SECONDS, circuit, lost


@pytest.fixture
def fabric() -> PublishingStream:
    """A stream of which two events are handled and replicated, and not the invoices that are published for them."""
    fabric = PublishingStream(bill_and_count, invoices="lanes = 1", guarantee="exactly_once")
    fabric.put(event("a1"), event("a2"))
    fabric.deliver()
    cut(fabric, is_cut=True)
    fabric.cloud.replicate()
    return fabric


def cut(fabric: PublishingStream, *, is_cut: bool) -> None:
    """Stop the replication of the invoices, or let it go on."""
    table = fabric.topology.stream(INVOICES).table.name
    for link in fabric.cloud.links:
        link.cut = is_cut and link.source.name == table


def arrive(fabric: PublishingStream) -> None:
    cut(fabric, is_cut=False)
    fabric.cloud.replicate()


def test_a_drain_waits_for_what_was_published(fabric: PublishingStream) -> None:
    waiting = Waiting(fabric, {3: lambda: arrive(fabric)})
    failover(fabric).drain(waiting)
    assert waiting.seconds == [SETTLE_SECONDS, 1, 1]
    assert fabric.cloud.log(INVOICES, AWAY).tail(lane(0)).sequence == 2


def test_others_that_publish_there_meanwhile_hold_up_no_drain(fabric: PublishingStream) -> None:
    def another() -> None:
        arrive(fabric)
        fabric.overtake(lane(0), "later")

    waiting = Waiting(fabric, {2: another})
    failover(fabric).drain(waiting)
    assert waiting.seconds == [SETTLE_SECONDS, 1]


def test_it_gives_up_where_that_does_not_come_and_the_source_goes_on(fabric: PublishingStream) -> None:
    facts = "after 2 s", f"the end of lane {lane(0)} of {INVOICES}", AWAY
    with raises_with(FailoverError, *facts):
        failover(fabric).drain(Waiting(fabric), patience_seconds=2)
    assert circuit(fabric).state is CircuitState.CLOSED


def test_how_much_of_it_is_not_here_is_said_beforehand(fabric: PublishingStream) -> None:
    (ready,) = failover(fabric).readiness()
    assert (ready.behind, ready.repeated, ready.published) == (0, 0, 2)
    (ready,) = failover(fabric, lost).readiness()
    assert ready.published is None
    arrive(fabric)
    (ready,) = failover(fabric).readiness()
    assert ready.published == 0
