"""A trace goes on from the publisher to the handler, through the log of a local fabric."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace

from eventfabric import Delivery, Event, subscriber
from eventfabric.definition.file import parse_definition
from eventfabric.testing.local.fabric import LocalFabric
from tests.support.spans import exporter, open_span, spans

US = "us-east-1"
DEFINITION = parse_definition(f"""
    [fabric]
    name = "shop"
    regions = ["{US}"]
    [streams.orders]
    lanes = 1
    [subscriptions.all]
    stream = "orders"
    handler = "subscribers.any:handle"
    retry = {{ immediate = 1, attempts = 2 }}
""")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    exporter().clear()
    yield
    exporter().clear()


def test_what_is_published_in_a_span_is_handled_in_its_trace_at_every_attempt() -> None:
    tries: list[trace.SpanContext] = []

    def handle(event: Event, delivery: Delivery) -> None:
        tries.append(trace.get_current_span().get_span_context())
        if len(tries) == 1:
            raise ValueError("not yet")

    with LocalFabric(DEFINITION, handlers={"all": handle}) as fabric:
        with open_span("checkout") as published:
            receipt = fabric.region(US).publish("orders", key="a", type="Placed")
        fabric.settle()
    assert [attempt.trace_id for attempt in tries] == [published.trace_id] * 2
    first, second = spans()
    assert (first.status.status_code, second.status.status_code) == (
        trace.StatusCode.ERROR,
        trace.StatusCode.UNSET,
    )
    for number, span in enumerate((first, second), 1):
        assert span.parent is not None
        assert span.parent.span_id == published.span_id
        assert span.attributes is not None
        assert span.attributes["messaging.message.id"] == receipt.event_id
        assert span.attributes["messaging.destination.partition.id"] == str(receipt.lane)
        assert span.attributes["eventfabric.attempt"] == number


def test_publishers_of_many_and_transactions_hand_on_the_context_they_were_called_in() -> None:
    handled: list[Event] = []

    @subscriber
    def handle(event: Event, delivery: Delivery) -> None:
        handled.append(event)

    with LocalFabric(DEFINITION, handlers={"all": handle}) as fabric:
        region = fabric.region(US)
        with region.publisher("orders") as publisher:
            with open_span("one"):
                publisher.publish(key="a", type="Placed", id="1")
            with open_span("two"):
                publisher.publish(key="a", type="Placed", id="2")
            publisher.publish(key="a", type="Placed", id="3")
        with open_span("three"), region.transaction() as transaction:
            transaction.publish("orders", key="a", type="Placed", id="4")
        fabric.settle()
    parents = {event.id: event.headers.get("traceparent") for event in handled}
    assert parents["3"] is None
    assert len({parents["1"], parents["2"], parents["4"]}) == 3


def test_a_batch_is_handled_in_one_span_that_links_to_each_publisher() -> None:
    @subscriber(batch=10)
    def handle(events: list[Event], delivery: Delivery) -> None: ...

    published = []
    with LocalFabric(DEFINITION, handlers={"all": handle}) as fabric:
        for name in ("one", "two"):
            with open_span(name) as context:
                fabric.region(US).publish("orders", key="a", type="Placed")
            published.append(context.trace_id)
        fabric.settle()
    [span] = spans()
    assert [link.context.trace_id for link in span.links] == published
