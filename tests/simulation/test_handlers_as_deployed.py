"""Handlers in simulations are held to what they will find as they are deployed: modules, tables, environment."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventfabric.errors import DefinitionError, HandlersFailError
from eventfabric.model import Event
from eventfabric.testing.idempotency.trials import HandlerTrials
from tests.support.messages import missing_from
from tests.support.projects import make_project

EVENTS = [
    Event(id=f"e{number}", key=f"k{number % 2}", type="Placed", data={"n": number}) for number in range(4)
]
LISTED = 'guarantee = "exactly_once"\ntables = { "{fabric}-counts" = ["UpdateItem"] }\n'
COUNT = "delivery.transaction.update(f'{delivery.fabric}-counts', {'id': event.key}, 'ADD n :n', values={':n': 1})"
PUT = "boto3.client('dynamodb').put_item(TableName='-'.join(['shop', 'rows']), Item={'id': {'S': '1'}})"


def make(outside: Any) -> None:
    for name in ("counts", "rows"):
        for region in outside.regions:
            outside.client("dynamodb", region).create_table(
                TableName=f"{outside.name}-{name}",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            )


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., HandlerTrials]]:
    """Makes trials of a project's one handler, whose module is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def of(body: str, *, top: str = "", more: str = LISTED) -> HandlerTrials:
        source = f"{top}\ndef count(event, delivery):\n    {body}\n"
        files = {"depot/__init__.py": "", "depot/stock.py": source}
        definition = make_project(tmp_path, files, handler="depot.stock:count", more=more)
        return HandlerTrials(definition, events=EVENTS, setup=make)

    yield of
    for name in [name for name in sys.modules if name.partition(".")[0] == "depot"]:
        del sys.modules[name]


def test_what_a_role_and_a_zip_allow_is_simulated(trials: Callable[..., HandlerTrials]) -> None:
    trials(COUNT).check()


def test_an_import_that_the_zip_lacks_is_refused_before_anything_runs(
    trials: Callable[..., HandlerTrials],
) -> None:
    with pytest.raises(DefinitionError) as caught:
        trials("...", top="import moto")
    assert missing_from(str(caught.value), "subscriptions.bill.handler", "moto", "requirements.txt") == []


@pytest.mark.parametrize(
    ("body", "top", "words"),
    [
        (
            "importlib.import_module('mo' + 'to')",
            "import importlib",
            ("NotInZipError", "moto", "requirements.txt"),
        ),
        (
            "delivery.transaction.put('-'.join(['shop', 'rows']), {'id': '1'})",
            "",
            ("PutItem", "shop-rows", "`tables`"),
        ),
        (PUT, "import boto3", ("PutItem", "shop-rows", "subscriptions.bill")),
    ],
)
def test_what_only_running_can_tell_is_refused_by_name(
    body: str, top: str, words: tuple[str, ...], trials: Callable[..., HandlerTrials]
) -> None:
    with pytest.raises(HandlersFailError) as caught:
        trials(body, top=top).check()
    assert missing_from(str(caught.value), "bill", *words) == []


def test_a_module_finds_its_functions_environment_when_it_is_imported(
    trials: Callable[..., HandlerTrials],
) -> None:
    more = f'{LISTED}function = {{ environment = {{ CURRENCY = "EUR" }} }}\n'
    trials(
        f"assert CURRENCY == 'EUR'; {COUNT}", top="import os\nCURRENCY = os.environ['CURRENCY']", more=more
    ).check()


def test_a_handler_finds_its_own_functions_environment_alone(trials: Callable[..., HandlerTrials]) -> None:
    call = (
        "boto3.client('dynamodb').update_item(TableName=f'{delivery.fabric}-counts', Key={'id': {'S': event.id}},"
        " UpdateExpression='SET seen = :yes', ExpressionAttributeValues={':yes': {'BOOL': True}})"
    )
    check = "assert os.environ.get('CURRENCY') == CURRENCIES[delivery.subscription]"
    top = "import boto3, os\nCURRENCIES = {'bill': 'EUR', 'ship': 'USD', 'tell': None}\n"
    others = "".join(
        f'[subscriptions.{name}]\nstream = "orders"\nhandler = "depot.stock:count"\n{LISTED}{more}'
        for name, more in (("ship", 'function = { environment = { CURRENCY = "USD" } }\n'), ("tell", ""))
    )
    more = f'{LISTED}function = {{ environment = {{ CURRENCY = "EUR" }} }}\n{others}'
    before = dict(os.environ)
    trials(f"{check}; {call}; {check}", top=top, more=more).check()
    assert dict(os.environ) == before
