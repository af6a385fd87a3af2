"""Tests of the whole path, from the checkout to the invoice, on a local fabric."""

from typing import Any

import pytest

from eventfabric import Fabric
from eventfabric.local import LocalFabric
from shop import tables
from shop.checkout import place_order
from shop.orders import Order

REGION = "eu-central-1"


@pytest.fixture
def fabric(local_fabric: LocalFabric) -> Fabric:
    tables.make(local_fabric)
    return local_fabric.region(REGION)


def rows(local_fabric: LocalFabric) -> dict[str, Any]:
    items = local_fabric.client("dynamodb", REGION).scan(TableName=tables.INVOICES)["Items"]
    return {item["id"]["S"]: item for item in items}


def test_an_order_is_invoiced_and_owed(local_fabric: LocalFabric, fabric: Fabric) -> None:
    place_order(fabric, Order("A-1", "ada", 1250, "EUR"))
    place_order(fabric, Order("A-2", "ada", 750, "EUR"))
    local_fabric.settle()
    written = rows(local_fabric)
    assert written["invoice/A-1"]["cents"] == {"N": "1250"}
    assert written["customer/ada"]["owes_cents"] == {"N": "2000"}


def test_an_order_that_cannot_be_invoiced_holds_up_its_own_customer_only(
    local_fabric: LocalFabric, fabric: Fabric
) -> None:
    place_order(fabric, Order("A-1", "ada", 1250, "XXX"))
    place_order(fabric, Order("A-2", "ada", 750, "EUR"))
    place_order(fabric, Order("B-1", "bob", 990, "USD"))
    local_fabric.settle(timers=True)
    assert set(rows(local_fabric)) == {"invoice/B-1", "customer/bob"}

    invoices = local_fabric.subscription("invoices")
    (letter,) = invoices.dead_letters()
    assert letter.parked.failure.error_type == "shop.invoices:UnknownCurrency"
    invoices.discard(key="ada")
    local_fabric.settle()
    assert invoices.dead_letters() == []
    assert rows(local_fabric)["customer/ada"]["owes_cents"] == {"N": "750"}
