"""Publications: what becomes of a handler's call, and what it may not do, and is told by an error at the call."""

from threading import Event as Signal
from threading import Thread
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.errors import HandlerError
from eventfabric.model import EventFields, StreamName, lane_index
from eventfabric.ports import Attempt
from eventfabric.sdk.publications import Publications
from eventfabric.sdk.subscriber import SubscriberHandler, subscriber
from eventfabric.wire.payload_codec import unpack
from eventfabric.wire.published import Published
from tests.support.failing_handlers import retry
from tests.support.forks import in_a_fork
from tests.support.memory_fabric import HOME, event
from tests.support.publishing_stream import INVOICES, PublishingStream, bill
from tests.support.subscribed_stream import SubscribedStream


@pytest.mark.parametrize("guarantee", ["at_most_once", "exactly_once"])
def test_once_with_an_id_of_ones_own_is_refused_where_nothing_notes_it(guarantee: str) -> None:
    said: list[str] = []

    def handle(event: Event, delivery: Delivery) -> None:
        try:
            delivery.publish(INVOICES, key="k", type="Billed", id="own", once=True)
        except HandlerError as error:
            said.append(str(error))
        delivery.publish(INVOICES, key="k", type="Billed", data={"of": event.id}, once=True)

    fabric = PublishingStream(handle, guarantee=guarantee)
    fabric.put(event("a"))
    fabric.deliver()
    assert "an id of your own, allowed: under at_least_once" in said[0]
    assert fabric.invoiced() == ["a"]


def test_at_least_once_an_id_of_ones_own_comes_once() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        delivery.publish(INVOICES, key="k", type="Billed", id="own", once=True)

    fabric = PublishingStream(handle)
    fabric.put(event("a"), event("b", key="b"))
    fabric.deliver()
    assert [invoice.id for invoice in fabric.invoices()] == ["own"]


def test_at_most_once_needs_no_transaction_for_once() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        delivery.publish(INVOICES, key="k", type="Billed", data={"of": event.id}, once=True)

    fabric = PublishingStream(handle, guarantee="at_most_once")
    fabric.put(event("a"))
    fabric.deliver()
    assert fabric.invoiced() == ["a"]
    items = fabric.cloud.log_table(INVOICES, fabric.region).items
    assert len(list(items)) == 1, "a record, and no note of its id"


@pytest.mark.parametrize(("count", "fits"), [(63, True), (64, False)])
def test_one_header_is_the_fabrics_own(count: int, fits: bool) -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        headers = {f"h{number}": "x" for number in range(count)}
        delivery.publish(INVOICES, key="k", type="Billed", headers=headers)

    fabric = PublishingStream(handle, **retry(attempts=1))
    fabric.put(event("a"))
    fabric.deliver()
    assert len(fabric.invoices()) == fits
    if not fits:
        failure = fabric.parked()["k"].failure
        assert "found 64 headers and fabrichops, allowed: at most 63" in failure.message


def test_a_forked_child_publishes_nothing_and_is_told() -> None:
    codes: list[int] = []

    def handle(event: Event, delivery: Delivery) -> None:
        def in_child() -> None:
            with pytest.raises(HandlerError, match="in a forked child"):
                bill(event, delivery)

        codes.append(in_a_fork(in_child))

    fabric = PublishingStream(handle)
    fabric.put(event("a"))
    fabric.deliver()
    assert (codes, fabric.invoices()) == ([0], [])


def test_a_thread_that_publishes_as_its_handler_returns_is_told() -> None:
    inside, go, said = Signal(), Signal(), list[str]()

    class Slow(dict[str, Any]):
        def items(self) -> Any:
            inside.set()
            assert go.wait(10)
            return super().items()

    def handle(event: Event, delivery: Delivery) -> None:
        def late() -> None:
            try:
                delivery.publish(INVOICES, key="k", type="Billed", headers=Slow(a="b"))
            except HandlerError as error:
                said.append(str(error))

        threads.append(Thread(target=late))
        threads[0].start()
        assert inside.wait(10)

    threads: list[Thread] = []
    fabric = PublishingStream(handle)
    fabric.put(event("a"))
    fabric.deliver()
    go.set()
    threads[0].join(10)
    assert said == ["publish: its delivery has ended; a handler publishes before it returns"]
    assert fabric.invoices() == []


def test_a_delivery_that_was_kept_publishes_no_more() -> None:
    kept: list[Delivery] = []
    fabric = PublishingStream(lambda event, delivery: kept.append(delivery))
    fabric.put(event("a"))
    fabric.deliver()
    with pytest.raises(HandlerError, match="has ended"):
        bill(event("a"), kept[0])
    with pytest.raises(HandlerError, match="has ended"):
        bill(kept[0].event, kept[0])


def test_a_late_event_publishes_through_the_second_function() -> None:
    @subscriber
    def charge(event: Event, delivery: Delivery) -> None:
        raise AssertionError

    @charge.late
    def compare(event: Event, delivery: Delivery) -> None:
        bill(event, delivery)

    fabric = PublishingStream()
    target = fabric.topology.stream(INVOICES)
    publications = Publications(
        "billing", StreamName("orders"), [target], region=HOME, clock=fabric.clock, may_repeat=True
    )
    handler = SubscriberHandler(
        charge, clock=fabric.clock, transactional=False, publications=publications, reconciles_late=True
    )
    (late,) = unpack(fabric.put(event("a")))
    late.later = event("b")
    (published,) = handler.attempt([late], Attempt("billing", 1, 2**50))
    assert isinstance(published, Published)
    assert published.stream == INVOICES


def test_an_event_goes_to_a_lane_of_its_own_target() -> None:
    fabric = SubscribedStream(others="[streams.narrow]\nlanes = 1\n[streams.wide]\nlanes = 64\n")
    targets = [fabric.topology.stream(name) for name in ("narrow", "wide")]
    publications = Publications(
        "billing", StreamName("orders"), targets, region=HOME, clock=fabric.clock, may_repeat=True
    ).of(Attempt("billing", 1, 2**50))
    (source,) = unpack(fabric.put(event("a")))
    for target in targets:
        for number in range(50):
            fields: EventFields = {"key": f"k{number}", "type": "t"}
            publications.publish(target.name, fields, source, name=None, once=False)
    for target in targets:
        lanes = [
            published.lane.index for published in publications.published if published.stream == target.name
        ]
        assert lanes == [lane_index(f"k{number}", target.definition.lanes) for number in range(50)]
