"""Rights of functions on lanes of declarations: who copies may write them, and nobody reads more than it needs."""

import pytest

from eventfabric.deployment.permissions import Resource, is_allowed, of_function
from eventfabric.topology import BACKFILL_ENTRY, DELIVER_ENTRY, RECONCILE_ENTRY, RELAY_ENTRY
from tests.support.memory_fabric import AWAY, HOME
from tests.support.subscribed_stream import topology

SHOP = topology(
    publishes=["invoices"],
    guarantee="at_least_once",
    others="[streams.invoices]\nlanes = 2\n[streams.other]\n",
)
OURS, THEIRS = f"@{HOME}/orders", f"@{AWAY}/orders"
COPIERS = (RECONCILE_ENTRY, BACKFILL_ENTRY)


@pytest.mark.parametrize(
    ("action", "region", "table", "key", "who"),
    [
        ("Query", HOME, "shop-orders", OURS, {*COPIERS, RELAY_ENTRY, DELIVER_ENTRY}),
        ("Query", AWAY, "shop-orders", THEIRS, {*COPIERS}),
        ("PutItem", HOME, "shop-orders", OURS, {*COPIERS}),
        ("PutItem", HOME, "shop-orders", THEIRS, {*COPIERS}),
        ("PutItem", AWAY, "shop-orders", THEIRS, set()),
        ("DeleteItem", HOME, "shop-orders", OURS, set()),
        ("PutItem", HOME, "shop-orders", "@eu-north-1/orders", set()),
        # Of Regions that the stream was in once, schemas are read everywhere, and copied.
        ("PutItem", HOME, "shop-orders", "@eu-north-1/orders/schemas", {*COPIERS}),
        ("Query", AWAY, "shop-orders", "@eu-north-1/orders", {*COPIERS}),
        ("Query", HOME, "shop-invoices", f"@{HOME}/invoices", {*COPIERS, RELAY_ENTRY, DELIVER_ENTRY}),
        ("Query", HOME, "shop-invoices", f"@{AWAY}/invoices", {*COPIERS, RELAY_ENTRY}),
        ("Query", HOME, "shop-invoices", f"@{HOME}/orders", {*COPIERS, RELAY_ENTRY}),
        ("PutItem", HOME, "shop-invoices", f"@{HOME}/invoices", {*COPIERS}),
        ("Query", HOME, "shop-other", f"@{HOME}/other", {*COPIERS, RELAY_ENTRY}),
        ("Query", AWAY, "shop-invoices", f"@{AWAY}/invoices", {*COPIERS}),
    ],
)
def test_who_reads_and_who_writes_declarations(
    action: str, region: str, table: str, key: str, who: set[str]
) -> None:
    resource = Resource("dynamodb", region, f"table/{table}")
    allowed = {
        function.entry
        for function in SHOP.functions(HOME)
        if is_allowed(of_function(SHOP, function), f"dynamodb:{action}", resource, [key])
    }
    assert allowed == who
