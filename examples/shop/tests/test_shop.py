"""Tests of the whole path, from the checkout to the letter, on a local fabric."""

from typing import Any

import pytest

from eventfabric import Delivery, Fabric, subscriber
from eventfabric.local import LocalFabric
from shop import billing, tables
from shop.checkout import place_order
from shop.events import Order

REGION = "eu-central-1"


@pytest.fixture
def fabric(local_fabric: LocalFabric) -> Fabric:
    tables.make(local_fabric)
    return local_fabric.region(REGION)


def rows(local_fabric: LocalFabric, table: str) -> dict[str, Any]:
    items = local_fabric.client("dynamodb", REGION).scan(TableName=table)["Items"]
    return {item["id"]["S"]: item for item in items}


def invoices(local_fabric: LocalFabric) -> list[str]:
    """Return the orders of all invoices that were published."""
    return [handled.event.data["order"] for handled in local_fabric.subscription("letters").handled()]


def test_each_order_becomes_one_invoice_and_one_letter(local_fabric: LocalFabric, fabric: Fabric) -> None:
    place_order(fabric, "ada", Order("A-1", 1250, "EUR"))
    place_order(fabric, "ada", Order("A-2", 750, "EUR"))
    local_fabric.settle()
    books = rows(local_fabric, tables.BOOKS)
    assert books["invoice/A-1"]["cents"] == {"N": "1250"}
    assert books["customer/ada"]["owes_cents"] == {"N": "2000"}
    assert sorted(invoices(local_fabric)) == ["A-1", "A-2"]
    letters = rows(local_fabric, tables.LETTERS)
    assert letters["A-2"]["text"] == {"S": "Dear ada, please pay 7.50."}


def test_an_order_that_is_submitted_twice_is_invoiced_once(local_fabric: LocalFabric, fabric: Fabric) -> None:
    first = place_order(fabric, "ada", Order("A-1", 1250, "EUR"))
    assert place_order(fabric, "ada", Order("A-1", 1250, "EUR")) == first
    local_fabric.settle()
    assert invoices(local_fabric) == ["A-1"]
    assert rows(local_fabric, tables.BOOKS)["customer/ada"]["owes_cents"] == {"N": "1250"}


attempts: list[int] = []


@subscriber
def fail_at_first(order: Order, delivery: Delivery) -> None:
    """Do all that `issue_invoice` does, and fail then at the first attempt."""
    billing.issue_invoice(order, delivery)
    attempts.append(delivery.attempt)
    if delivery.attempt == 1:
        raise RuntimeError("the first attempt ends here")


@pytest.mark.eventfabric(handlers={"billing": fail_at_first})
def test_an_attempt_that_fails_leaves_nothing_behind(local_fabric: LocalFabric, fabric: Fabric) -> None:
    attempts.clear()
    place_order(fabric, "ada", Order("A-1", 1250, "EUR"))
    local_fabric.settle(timers=True)  # until the retry was due, too
    assert attempts == [1, 2]
    assert invoices(local_fabric) == ["A-1"]
    assert rows(local_fabric, tables.BOOKS)["customer/ada"]["owes_cents"] == {"N": "1250"}


def test_an_order_that_cannot_be_invoiced_holds_up_its_own_customer_only(
    local_fabric: LocalFabric, fabric: Fabric
) -> None:
    place_order(fabric, "ada", Order("A-1", 1250, "XXX"))
    place_order(fabric, "ada", Order("A-2", 750, "EUR"))
    place_order(fabric, "bob", Order("B-1", 990, "USD"))
    local_fabric.settle(timers=True)
    assert invoices(local_fabric) == ["B-1"]

    subscription = local_fabric.subscription("billing")
    (letter,) = subscription.dead_letters()
    assert letter.parked.failure.error_type == "shop.billing:UnknownCurrency"
    subscription.discard(key="ada")
    local_fabric.settle()
    assert subscription.dead_letters() == []
    assert invoices(local_fabric) == ["B-1", "A-2"]
