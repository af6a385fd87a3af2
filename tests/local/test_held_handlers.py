"""The local fabric holds handlers to what they find as they are deployed, and nothing else of a test."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventfabric.testing.local.fabric import LocalFabric
from tests.support.messages import missing_from
from tests.support.projects import REGION, make_project, refused_by_check, refused_by_test

HANDLER = "warehouse.stock:count"
INIT = {"warehouse/__init__.py": ""}


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Have the project's folder on the path, as its tests have it, and its modules forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path / "functions")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "warehouse"]:
        del sys.modules[name]


def project(folder: Path, source: str, **files: str) -> Path:
    """Write a project with this source of the handler's module, and return the path of its definition."""
    return make_project(folder, {**INIT, "warehouse/stock.py": source, **files}, handler=HANDLER)


def handling(body: str, *, top: str = "") -> str:
    return f"{top}\ndef count(event, delivery):\n    {body}\n"


def test_an_import_that_may_be_missing_is_missing_as_it_will_be(tmp_path: Path) -> None:
    source = "try:\n    import pytest\nexcept ImportError:\n    pytest = None\n"
    definition = project(tmp_path, handling("assert pytest is None", top=source))
    assert refused_by_check(definition) == ""
    assert refused_by_test(definition) == ""


@pytest.mark.parametrize(
    "body",
    [
        "__import__('mo' + 'to')",
        "import importlib; importlib.import_module('mo' + 'to.core')",
        "exec('import moto')",
        "exec('from eventfabric import cli')",
    ],
)
def test_an_import_that_only_running_can_tell_is_refused_when_it_runs(body: str, tmp_path: Path) -> None:
    definition = project(tmp_path, handling(body))
    assert refused_by_check(definition) == ""
    message = refused_by_test(definition)
    name = "eventfabric.cli" if "cli" in body else "moto"
    assert missing_from(message, "HandlerError", "warehouse.stock", name, "zip") == []


def test_a_table_that_only_running_can_tell_is_refused_when_it_runs(tmp_path: Path) -> None:
    top = "import boto3\nfrom boto3.dynamodb.conditions import Key\nNAMES = ['shop-payments']\n"
    body = "boto3.resource('dynamodb', region_name='eu-west-1').Table(NAMES[0]).query("
    body += "KeyConditionExpression=Key('pk').eq('x'))"
    definition = project(tmp_path, handling(body, top=top))
    assert refused_by_check(definition) == ""
    message = refused_by_test(definition)
    assert missing_from(message, "PermissionError", "dynamodb:Query", "table/shop-payments") == []


@pytest.mark.parametrize(
    ("call", "action"),
    [
        ("get_item(TableName=T, Key=K)", "GetItem"),
        ("batch_get_item(RequestItems={T: {'Keys': [K]}})", "BatchGetItem"),
        ("batch_write_item(RequestItems={T: [{'DeleteRequest': {'Key': K}}]})", "BatchWriteItem"),
        ("transact_get_items(TransactItems=[{'Get': {'TableName': T, 'Key': K}}])", "GetItem"),
        ("transact_write_items(TransactItems=[{'Delete': {'TableName': T, 'Key': K}}])", "DeleteItem"),
        ("scan(TableName='arn:aws:dynamodb:eu-west-1:123456789012:table/' + T)", "Scan"),
    ],
)
def test_every_way_to_a_table_of_the_fabric_is_refused_by_action_and_table(
    call: str, action: str, tmp_path: Path
) -> None:
    top = "import boto3\nT = '-'.join(['shop', 'payments'])\nK = {'pk': {'S': 'x'}, 'sk': {'N': '1'}}\n"
    definition = project(
        tmp_path, handling(f"boto3.client('dynamodb', region_name='eu-west-1').{call}", top=top)
    )
    message = refused_by_test(definition)
    assert missing_from(message, "PermissionError", f"dynamodb:{action}", "table/shop-payments") == []


def test_tables_and_queues_of_the_handlers_own_are_theirs(tmp_path: Path) -> None:
    top = "import boto3\nR = dict(region_name='eu-west-1')\n"
    body = (
        "boto3.client('dynamodb', **R).put_item(TableName='stock', Item={'id': {'S': event.id}}); "
        "sqs = boto3.client('sqs', **R); "
        "sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName='theirs')['QueueUrl'], MessageBody='1')"
    )
    with LocalFabric(project(tmp_path, handling(body, top=top))) as fabric:
        fabric.client("sqs", REGION).create_queue(QueueName="theirs")
        fabric.client("dynamodb", REGION).create_table(
            TableName="stock",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        fabric.region(REGION).publish("orders", key="a", type="Placed")
        fabric.settle()
        assert fabric.client("dynamodb", REGION).scan(TableName="stock")["Count"] == 1


def test_what_tests_and_producers_import_is_theirs(tmp_path: Path) -> None:
    producer = "def place(fabric):\n    import moto\n    fabric.publish('orders', key='a', type='Placed')\n"
    definition = project(tmp_path, handling("..."), **{"warehouse/checkout.py": producer})
    with LocalFabric(definition) as fabric:
        from warehouse.checkout import place  # type: ignore[import-not-found]  # of a project that is written here

        fabric.settle()
        place(fabric.region(REGION))
        fabric.settle()
        assert len(fabric.subscription("bill").handled()) == 1


def test_a_handler_that_stands_in_for_the_definitions_is_not_held(tmp_path: Path) -> None:
    def instead(event: Any, delivery: Any) -> None:
        import moto  # noqa: F401

    definition = project(tmp_path, handling("import moto"))
    assert refused_by_test(definition, handlers={"bill": instead}) == ""


PAYLOAD = (
    "from pydantic import BaseModel\n"
    "class Order(BaseModel):\n    total: int\n"
    "def count(order: Order, delivery):\n    assert order.total == 1\n"
)


@pytest.mark.parametrize("place", ["requirements.txt", "warehouse/requirements.txt"])
def test_a_payload_of_pydantic_needs_it_in_a_requirements_file_beside_the_package_or_in_it(
    place: str, tmp_path: Path
) -> None:
    definition = project(tmp_path, PAYLOAD)
    for message in (refused_by_check(definition).replace("\n", ""), refused_by_test(definition)):
        facts = ("warehouse.stock", "imports pydantic", "functions/requirements.txt")
        assert missing_from(message, "subscriptions.bill.handler", *facts) == []
    (tmp_path / "functions" / place).write_text("pydantic>=2.10\n")
    assert refused_by_check(definition) == ""
    assert refused_by_test(definition) == ""


def test_a_payload_that_the_library_would_decode_with_pydantic_finds_none(tmp_path: Path) -> None:
    source = (
        "import dataclasses\n"
        "Paid, Refunded = (dataclasses.make_dataclass(n, [('total', int)]) for n in ('Paid', 'Refunded'))\n"
        "def count(order: Paid | Refunded, delivery): ...\n"
    )
    definition = project(tmp_path, source)
    assert missing_from(refused_by_test(definition), "HandlerError", "pydantic", "requirements.txt") == []
    (tmp_path / "functions" / "requirements.txt").write_text("-r others.in  # and more\n")
    (tmp_path / "functions" / "others.in").write_text(
        "# what decodes\npydantic[email] >=2 ; python_version > '3'\n"
    )
    assert refused_by_test(definition) == ""


def test_what_a_requirement_holds_that_is_not_installed_here_is_believed(tmp_path: Path) -> None:
    definition = project(tmp_path, handling("import nowhere_installed"))
    assert "nowhere_installed" in refused_by_check(definition).replace("\n", "")
    (tmp_path / "functions" / "requirements.txt").write_text("Nowhere-to-be-found==1.0\n")
    assert refused_by_check(definition) == ""
    definition = project(tmp_path, handling("import moto"))
    assert "imports moto" in refused_by_check(definition).replace("\n", "")


def test_what_a_layer_holds_is_not_known_here(tmp_path: Path) -> None:
    definition = project(tmp_path, handling("import moto"))
    layer = f"arn:aws:lambda:{REGION}:123456789012:layer:shelves:1"
    definition.write_text(f'{definition.read_text()}function = {{ layers = ["{layer}"] }}\n')
    assert refused_by_check(definition) == ""
    assert refused_by_test(definition) == ""


def test_a_handler_publishes_where_its_subscription_says_so(tmp_path: Path) -> None:
    definition = project(tmp_path, handling("delivery.publish('payments', key='k', type='Paid', data=1)"))
    assert "publishes to payments" in refused_by_check(definition).replace("\n", "")
    definition.write_text(f'{definition.read_text()}publishes = ["payments"]\n')
    assert refused_by_check(definition) == ""
    assert refused_by_test(definition) == ""
