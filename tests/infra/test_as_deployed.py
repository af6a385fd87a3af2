"""Handlers that could not run as deployed are refused by name: by test, check and synthesis."""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.support.messages import missing_from
from tests.support.projects import make_project, refused_by_check, refused_by_synthesis, refused_by_test

HANDLER = "warehouse.stock:count"
EMPTY = {"warehouse/__init__.py": ""}


def handling(body: str, *, top: str = "") -> dict[str, str]:
    """Return the files of a package whose handler has this body, in a module that begins with `top`."""
    return {**EMPTY, "warehouse/stock.py": f"{top}\ndef count(event, delivery):\n    {body}\n"}


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Have the project's folder on the path, as its tests have it, and its modules forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path / "functions")
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("warehouse", "domain")]:
        del sys.modules[name]


def refused(way: str, definition: Path, target: Path) -> str:
    match way:
        case "test":
            return refused_by_test(definition)
        case "check":
            return refused_by_check(definition)
    return refused_by_synthesis(definition, target)


PUT = "boto3.resource('dynamodb', region_name='eu-west-1').Table('shop-payments').put_item(Item={'pk': 'x', 'sk': 1})"
TABLE = "boto3.client('dynamodb', region_name='eu-west-1').query(TableName={table}, KeyConditionExpression='pk = :pk', "
TABLE += "ExpressionAttributeValues={{':pk': {{'S': 'x'}}}})"
SDK = "Fabric.from_definition('infra/fabric.toml', region='eu-west-1').publish('payments', key='k', type='Paid')"
CLIENT = "boto3.client('dynamodb', region_name='eu-west-1')"
REFUSED = {
    "imports what the zip lacks": (
        handling("...", top="import moto"),
        ("warehouse.stock", "imports moto", "functions/requirements.txt"),
    ),
    "imports it while it runs": (
        handling("import pytest"),
        ("warehouse.stock", "imports pytest", "functions/requirements.txt"),
    ),
    "imports it by a name": (
        handling("importlib.import_module('rich.table')", top="import importlib"),
        ("warehouse.stock", "imports rich.table", "functions/requirements.txt"),
    ),
    "imports what of the library stays here": (
        handling("from eventfabric import testing"),
        ("warehouse.stock", "imports eventfabric.testing", "of eventfabric what functions run with"),
    ),
    "has a module that does": (
        {**handling("...", top="from domain import rows"), "domain/rows.py": "import eventfabric.cli\n"},
        ("domain.rows", "imports eventfabric.cli"),
    ),
    "reads a table that it may not": (
        handling(TABLE.format(table="'shop-payments'"), top="import boto3"),
        ("shop-payments",),
    ),
    "reads one that a constant names": (
        {
            **handling(TABLE.format(table="tables.PAID"), top="import boto3\nfrom warehouse import tables"),
            "warehouse/tables.py": "from typing import Final\nPAID: Final = 'shop-payments'\n",
        },
        ("shop-payments",),
    ),
    "writes a table of the fabric": (
        handling(PUT, top="import boto3"),
        ("shop-payments",),
    ),
    "publishes with its delivery where it may not": (
        handling("delivery.publish('payments', key='k', type='Paid', data=1)"),
        ("publishes to payments",),
    ),
    "publishes where it may not": (handling(SDK, top="from eventfabric import Fabric"), ("payments",)),
}
"""Handlers, each with words of the message that refuses it."""


SYNTHESISED = ("imports what the zip lacks", "reads a table that it may not", "publishes where it may not")
"""Names of those that are synthesised, too, which takes seconds."""


@pytest.mark.parametrize(
    ("name", "way"),
    [*product(REFUSED, ("test", "check")), *((name, "synthesis") for name in SYNTHESISED)],
)
def test_what_a_handler_may_not_is_refused_by_name(name: str, way: str, tmp_path: Path) -> None:
    files, words = REFUSED[name]
    message = refused(way, make_project(tmp_path, files, handler=HANDLER), tmp_path / "zip")
    assert missing_from(message.replace("\n", ""), "subscriptions.bill.handler", *words) == []


LISTED = 'guarantee = "exactly_once"\ntables = { "{fabric}-stock" = ["UpdateItem"], counts = ["GetItem"] }\n'
UNLISTED = {
    "in a transaction": ("delivery.transaction.put(f'{delivery.fabric}-rows', {'id': '1'})", "shop-rows"),
    "with another action": ("delivery.transaction.put('shop-stock', {'id': '1'})", "shop-stock"),
    "by a client of its own": (
        f"{CLIENT}.get_item(TableName='customers', Key={{'id': {{'S': '1'}}}})",
        "customers",
    ),
}
"""Bodies of handlers that use tables which their subscription does not list, and these tables."""


@pytest.mark.parametrize(
    ("name", "way"), [*product(UNLISTED, ("test", "check")), ("in a transaction", "synthesis")]
)
def test_a_table_that_a_subscription_does_not_list_is_refused_by_name(
    name: str, way: str, tmp_path: Path
) -> None:
    body, table = UNLISTED[name]
    definition = make_project(tmp_path, handling(body, top="import boto3"), handler=HANDLER, more=LISTED)
    message = refused(way, definition, tmp_path / "zip").replace("\n", "")
    assert missing_from(message, "bill", table, "tables") == []


def test_a_table_that_only_running_can_tell_is_refused_with_the_key_to_add(tmp_path: Path) -> None:
    body = "delivery.transaction.put('-'.join(['some', 'rows']), {'id': '1'})"
    definition = make_project(tmp_path, handling(body), handler=HANDLER, more=LISTED)
    assert refused("check", definition, tmp_path / "zip") == ""
    message = refused("test", definition, tmp_path / "zip")
    assert (
        missing_from(message, "PermissionError", "PutItem", "some-rows", "`tables`", "subscriptions.bill")
        == []
    )


def test_a_table_that_is_listed_is_not(tmp_path: Path) -> None:
    body = "delivery.transaction.update('shop-stock', {'id': '1'}, 'ADD n :n', values={':n': 1})"
    definition = make_project(tmp_path, handling(body), handler=HANDLER, more=LISTED)
    for way in ("check", "test", "synthesis"):
        assert refused(way, definition, tmp_path / "zip") == ""
