"""A chain in the local fabric: billing consumes orders and publishes invoices, which mailing consumes."""

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.telemetry import Metric
from eventfabric.testing.local.fabric import LocalFabric

US, EU = "us-east-1", "eu-west-1"


def definition(guarantee: str, publishes: str = 'publishes = ["invoices"]') -> Definition:
    return parse_definition(
        f"""
        [fabric]
        name = "shop"
        regions = ["{US}", "{EU}"]
        [streams.orders]
        lanes = 4
        [streams.invoices]
        lanes = 2
        [subscriptions.billing]
        stream = "orders"
        handler = "subscribers.any:handle"
        guarantee = "{guarantee}"
        {publishes}
        [subscriptions.mailing]
        stream = "invoices"
        handler = "subscribers.any:handle"
        """
    )


def bill(event: Event, delivery: Delivery) -> None:
    delivery.publish("invoices", key=event.key, type="Billed", data={"order": event.data["order"]})


def mail(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
def test_each_order_brings_one_invoice_in_the_order_of_its_key(guarantee: str) -> None:
    with LocalFabric(definition(guarantee), handlers={"billing": bill, "mailing": mail}) as fabric:
        for number in range(12):
            region = (US, EU)[number % 2]
            fabric.region(region).publish(
                "orders", key=f"customer-{number % 3}", type="Placed", data={"order": number}
            )
        fabric.settle()
        handled = fabric.subscription("mailing").handled()
        assert sorted(entry.event.data["order"] for entry in handled) == list(range(12))
        for key in ("customer-0", "customer-1", "customer-2"):
            for region in (US, EU):
                orders = [e.event.data["order"] for e in handled if e.event.key == key and e.region == region]
                assert orders == sorted(orders)
        assert len({entry.event.id for entry in handled}) == 12


def test_a_stream_that_is_not_listed_is_refused() -> None:
    with LocalFabric(definition("exactly_once", ""), handlers={"billing": bill, "mailing": mail}) as fabric:
        fabric.region(US).publish("orders", key="k", type="Placed", data={"order": 1})
        fabric.settle()
        (dead,) = fabric.subscription("billing").dead_letters()
        assert "UnlistedStreamError" in dead.parked.failure.error_type
        assert not fabric.subscription("mailing").handled()


def test_what_is_published_once_needs_no_further_grant_and_a_replay_publishes_nothing() -> None:
    def bill_once(event: Event, delivery: Delivery) -> None:
        delivery.publish("invoices", key=event.key, type="Billed", data={"order": 1}, once=True)

    handlers = {"billing": bill_once, "mailing": mail}
    with LocalFabric(definition("at_least_once"), handlers=handlers) as fabric:
        fabric.region(US).publish("orders", key="k", type="Placed")
        fabric.settle()
        fabric.subscription("billing").replay(US, start=0)
        fabric.settle()
        assert [entry.is_replay for entry in fabric.subscription("billing").handled()] == [False, True]
        assert len(fabric.subscription("mailing").handled()) == 1
        assert fabric.subscription("billing").counted(Metric.EVENTS_NOT_REPUBLISHED, US) == 1
