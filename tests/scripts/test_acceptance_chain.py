"""scripts/e2e: how the chain's invoices are counted."""

from typing import Final

import pytest

from scripts.acceptance.chain import CUSTOMERS, miscounted

ONCE: Final = dict.fromkeys(CUSTOMERS, 111)
"""Points of customers whose three orders were invoiced once each."""


def test_points_of_orders_that_were_invoiced_once_are_right() -> None:
    assert miscounted(ONCE, 3) == ""


@pytest.mark.parametrize(
    ("points", "orders", "order", "count"),
    [(101, 3, 1, 0), (121, 3, 1, 2), (111, 4, 3, 0), (0, 1, 0, 0)],
    ids=["lost", "twice", "not yet", "nothing"],
)
def test_an_invoice_that_was_not_handled_once_is_named(
    points: int, orders: int, order: int, count: int
) -> None:
    changed = {**dict.fromkeys(CUSTOMERS, (10**orders - 1) // 9), CUSTOMERS[2]: points}
    assert miscounted(changed, orders) == f"{CUSTOMERS[2]}: order {order} was invoiced {count} times"


def test_a_customer_without_points_is_missing() -> None:
    without = {customer: points for customer, points in ONCE.items() if customer != CUSTOMERS[0]}
    assert miscounted(without, 3).count(CUSTOMERS[0]) == 3
