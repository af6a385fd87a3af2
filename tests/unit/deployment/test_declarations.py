"""Questions of stacks, and the rights of the function that answers them."""

import json

import pytest

from eventfabric.deployment.declarations import (
    asked_of_cell,
    asked_of_log,
    asked_of_subscription,
    of_catalogue,
    of_log_catalogue,
)
from eventfabric.deployment.permissions import Resource, is_allowed
from tests.support.memory_fabric import AWAY, HOME
from tests.support.subscribed_stream import topology

SHOP = topology(others='[streams.other]\nregions = ["us-east-1"]\n')


@pytest.mark.parametrize(
    ("action", "table", "key", "may_cell", "may_log"),
    [
        ("PutItem", "shop-orders", f"@{HOME}/orders", True, False),
        ("PutItem", "shop-gone", f"@{HOME}/gone", True, False),
        ("PutItem", "shop-orders", f"@{AWAY}/orders", False, False),
        ("PutItem", "shop-orders", f"{HOME}/0.0", False, False),
        ("PutItem", "shop-ledger", "orders/billing", False, False),
        ("DeleteItem", "shop-orders", f"@{HOME}/orders", False, False),
        ("Query", "shop-gone", f"@{AWAY}/gone", True, True),
        ("Query", "shop-gone", f"{AWAY}/0.0", False, False),
        ("Query", "shop-orders", f"{AWAY}/0.0", True, True),
        ("Query", "shop-ledger", "orders/billing/us-east-1/0.0", False, True),
        ("Query", "shop-ledger", "backfill", False, False),
    ],
)
def test_declarations_are_written_in_the_region_alone(
    action: str, table: str, key: str, may_cell: bool, may_log: bool
) -> None:
    resource = Resource("dynamodb", HOME, f"table/{table}")
    log = of_log_catalogue(SHOP, SHOP.tables, HOME)
    for statements, may in ((of_catalogue(SHOP, HOME), may_cell), (log, may_log)):
        assert is_allowed(statements, f"dynamodb:{action}", resource, [key]) is may


def test_what_a_region_that_goes_declares_is_read_there_for_the_stack_of_the_tables_alone() -> None:
    there = Resource("dynamodb", AWAY, "table/shop-orders")
    log = of_log_catalogue(SHOP, SHOP.tables, HOME)
    for statements, may in ((of_catalogue(SHOP, HOME), False), (log, True)):
        assert is_allowed(statements, "dynamodb:Query", there, [f"@{AWAY}/orders"]) is may


def test_a_stack_asks_about_what_it_deploys_and_nothing_else() -> None:
    log = json.loads(asked_of_log(SHOP, [SHOP.stream("other").table]))
    assert (log["of"], [*log["definition"]["streams"]]) == ("log", ["other"])
    cell = json.loads(asked_of_cell(SHOP, AWAY))
    assert ([*cell["definition"]["streams"]], cell["subscriptions"]) == (["orders"], ["billing"])
    own = json.loads(asked_of_subscription(SHOP, SHOP.subscription("billing")))
    assert [*own["definition"]["subscriptions"]] == ["billing"]


def test_a_stack_asks_again_only_if_something_is_different_or_somebody_says_so() -> None:
    assert asked_of_cell(SHOP, HOME) == asked_of_cell(SHOP, HOME)
    assert asked_of_cell(SHOP, HOME) != asked_of_cell(SHOP, HOME, again="1")
    assert asked_of_cell(SHOP, HOME) != asked_of_cell(topology(lanes=4), HOME)


def test_schemas_are_asked_of_the_streams_first_region_not_the_fabrics_and_of_the_tables_before() -> None:
    turned = topology(others=f'[streams.turned]\nregions = ["{AWAY}", "{HOME}"]\n')
    digests = dict.fromkeys(turned.streams, "a")
    asked = [json.loads(asked_of_cell(turned, region, schemas=digests)) for region in (HOME, AWAY)]
    assert [set(own["schemas"]) for own in asked] == [{"orders"}, {"turned"}]
    log = json.loads(asked_of_log(turned, turned.tables, schemas=digests))
    assert log["schemas"] == digests
    assert "schemas" not in json.loads(asked_of_log(turned, [turned.ledger], schemas=digests))


def test_schemas_are_asked_of_a_streams_first_region_alone_and_change_what_is_asked() -> None:
    digests = dict.fromkeys(SHOP.streams, "a")
    home = json.loads(asked_of_cell(SHOP, HOME, schemas=digests))
    first = {name for name, own in SHOP.streams.items() if own.definition.regions[0] == HOME}
    assert home["schemas"] == dict.fromkeys(first, "a")
    away = json.loads(asked_of_cell(SHOP, AWAY, schemas=digests)).get("schemas", {})
    assert set(away) == {name for name, own in SHOP.streams.items() if own.definition.regions[0] == AWAY}
    assert asked_of_cell(SHOP, HOME, schemas={}) == asked_of_cell(SHOP, HOME)
    assert asked_of_cell(SHOP, HOME, schemas=dict.fromkeys(digests, "b")) != asked_of_cell(
        SHOP, HOME, schemas=digests
    )
