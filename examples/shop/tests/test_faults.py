"""Tests under crashes, lost replies and repeated doorbells: one handler must pass, and one must be found out."""

from collections.abc import Callable

import pytest

from eventfabric.testing.idempotency import HandlersReport
from shop import careless


@pytest.mark.eventfabric_simulation(setup="shop.tables:make")
def test_invoices_and_letters_are_right_whatever_crashes(
    simulate_handlers: Callable[..., HandlersReport],
) -> None:
    simulate_handlers(range(10)).check()


@pytest.mark.eventfabric_simulation(
    setup="shop.tables:make", subscriptions=["billing"], handlers={"billing": careless.issue_invoice}
)
def test_what_is_added_at_once_is_added_again_after_a_crash(
    simulate_handlers: Callable[..., HandlersReport],
) -> None:
    report = simulate_handlers(range(2))
    assert report.found == ["billing: dynamodb shop-books: owes_cents"]
