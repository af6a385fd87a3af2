"""Tables of a handler's own: how a subscription lists them, and what its function may then do."""

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition, from_json, to_json
from eventfabric.deployment.permissions import Resource, is_allowed, of_function
from eventfabric.topology import Topology
from tests.support.messages import missing_from
from tests.support.refused_definitions import refusal

DEFINITION = """
[fabric]
name = "shop"
{stage}
regions = ["us-east-1", "eu-west-1"]
[streams.orders]
[subscriptions.billing]
stream = "orders"
handler = "a.b:c"
tables = {tables}
"""


def definition(tables: str, stage: str = "") -> Definition:
    return parse_definition(DEFINITION.format(tables=tables, stage=stage))


def tables_of(read: Definition) -> object:
    return read.subscriptions["billing"].tables


@pytest.mark.parametrize(("stage", "full"), [("", "shop"), ('stage = "dev"', "shop_dev")])
def test_the_fabrics_name_with_its_stage_stands_where_there_is_a_place_for_it(stage: str, full: str) -> None:
    read = definition('{ "{fabric}-invoices" = ["PutItem"], customers = ["GetItem", "Query"] }', stage)
    assert tables_of(read) == {f"{full}-invoices": ("PutItem",), "customers": ("GetItem", "Query")}
    assert from_json(to_json(read)) == read


def test_what_lists_nothing_is_not_what_lists_none() -> None:
    assert tables_of(definition("{}")) == {}
    assert (
        tables_of(parse_definition(DEFINITION.format(tables="{}", stage="").replace("tables = {}", "")))
        is None
    )


@pytest.mark.parametrize(
    ("tables", "path", "words"),
    [
        ('{ "{fabric}-orders" = ["PutItem"] }', '"{fabric}-orders"', ("no table of the fabric",)),
        ('{ shop-ledger = ["PutItem"] }', "shop-ledger", ("no table of the fabric",)),
        ('{ shop-orders-ledger = ["PutItem"] }', "shop-orders-ledger", ("no table of the fabric",)),
        ('{ "a b" = ["PutItem"] }', '"a b"', ("the name of a table", "{fabric}-invoices")),
        ('{ "{stage}-invoices" = ["PutItem"] }', '"{stage}-invoices"', ("the name of a table",)),
        ('{ customers = ["Put"] }', "customers[0]", ('"PutItem"', '"Query"')),
        ('{ customers = ["Query", "Query"] }', "customers[1]", ("once",)),
        ("{ customers = [] }", "customers", ("at least one",)),
    ],
)
def test_other_tables_are_refused(tables: str, path: str, words: tuple[str, ...]) -> None:
    problem = refusal(DEFINITION.format(tables=tables, stage=""))
    assert problem.path == f"subscriptions.billing.tables.{path}"
    assert missing_from(problem.allowed, *words) == []


def test_a_function_may_do_with_its_tables_what_is_listed_and_nothing_else() -> None:
    topology = Topology(
        definition('{ "{fabric}-invoices" = ["PutItem"], customers = ["Query"] }', 'stage = "dev"')
    )
    statements = of_function(topology, topology.deliver_function("billing", "eu-west-1"))
    may = {
        (action, name, region)
        for action in ("PutItem", "UpdateItem", "Query")
        for name in ("shop_dev-invoices", "customers", "customers/index/by-city", "shop-invoices")
        for region in topology.regions
        if is_allowed(statements, f"dynamodb:{action}", Resource("dynamodb", region, f"table/{name}"))
    }
    assert may == {
        ("PutItem", "shop_dev-invoices", "eu-west-1"),
        ("Query", "customers", "eu-west-1"),
        ("Query", "customers/index/by-city", "eu-west-1"),
    }
