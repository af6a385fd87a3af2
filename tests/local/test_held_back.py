"""Producers who wait for a subscription, on the local fabric: what the deployed functions do under their own rights."""

from collections.abc import Iterator
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.testing.local.fabric import LocalFabric

US, EU = "us-east-1", "eu-west-1"
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{US}", "{EU}"]
[streams.orders]
lanes = 1
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
backpressure.events_min = 4
"""


def nothing(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


@pytest.fixture
def fabric() -> Iterator[LocalFabric]:
    with LocalFabric(parse_definition(DEFINITION), handlers={"billing": nothing}) as fabric:
        fabric.region(US).publish("orders", key="a", type="Placed")
        fabric.settle()
        yield fabric


def slot(fabric: LocalFabric) -> dict[str, Any]:
    """Return the item with what was granted."""
    items = fabric.client("dynamodb", US).scan(TableName="shop-ledger")["Items"]
    (item,) = (item for item in items if "/credits/" in item["pk"]["S"])
    return dict(item)


def lose_grant(fabric: LocalFabric) -> None:
    """Have the lane end at its grant, as if the copy of the newest one had been lost."""
    fabric.client("dynamodb", US).put_item(TableName="shop-ledger", Item={**slot(fabric), "0": {"N": "1"}})
    fabric.settle()


def reconcile(fabric: LocalFabric) -> dict[str, Any]:
    answer: dict[str, Any] = fabric.invoke(fabric.topology.reconcile_function(US), {})
    fabric.settle()
    return answer


def test_a_grant_that_was_lost_is_found_by_the_next_pass(fabric: LocalFabric) -> None:
    lose_grant(fabric)
    assert reconcile(fabric) == {"findings": {"orders": {}}}
    assert slot(fabric)["0"] == {"N": "5"}
    assert not fabric.guard.denied


def test_producers_go_on_while_the_subscription_is_paused(fabric: LocalFabric) -> None:
    lose_grant(fabric)
    assert fabric.operations(US).pause("billing")
    fabric.clock.advance(seconds=60)
    reconcile(fabric)
    assert int(slot(fabric)["0"]["N"]) >= 5
    assert not fabric.guard.denied


def test_an_operator_lets_producers_go_on(fabric: LocalFabric) -> None:
    operations = fabric.operations(US)
    opened = operations.credits_of("billing")
    assert opened.open(opened.openings(86_400)) == 1
    (seen,) = operations.credits("orders").lanes()
    assert (seen.is_short, seen.left > 4) == (False, True)
