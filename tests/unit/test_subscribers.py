"""The sample's handlers, called directly; and the definition that names them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from eventfabric import Delivery, Event
from eventfabric.definition.file import read_definition
from eventfabric.ports import Attempt
from eventfabric.sdk.delivery import DeliveryTransaction
from eventfabric.testing.local.clock import LocalClock
from subscribers import analytics, billing, shipping, tables

ROOT = Path(__file__).resolve().parents[2]
ORDER = billing.Order(order="order-1", total_cents=1990, currency="EUR", card="tok_1")
FABRIC = "shop_dev"
PLACED = Event(type="OrderPlaced", key="customer-1", id="event-1", source="/web")


def delivery_of(*events: Event, transaction: DeliveryTransaction | None = None) -> Delivery:
    return Delivery(events, Attempt("any", 1, 0), LocalClock(), transaction, fabric=FABRIC)


@pytest.fixture
def facts_and_labels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        for name in (tables.LABELS, tables.FACTS):
            client.create_table(
                TableName=f"{FABRIC}-{name}",
                AttributeDefinitions=[{"AttributeName": tables.KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": tables.KEY, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
        yield


def ids_in(table: str) -> list[str]:
    items = boto3.client("dynamodb", region_name="eu-west-1").scan(TableName=f"{FABRIC}-{table}")["Items"]
    return sorted(item[tables.KEY]["S"] for item in items)


def test_every_handler_of_the_sample_definition_exists() -> None:
    read = read_definition(ROOT / "infra/fabric.toml", check_handlers=True)
    assert {s.handler.partition(":")[0] for s in read.subscriptions.values()} == {
        billing.__name__,
        shipping.__name__,
        analytics.__name__,
    }


def test_billing_counts_each_charge_in_the_deliverys_transaction() -> None:
    transaction = DeliveryTransaction()
    billing.charge(ORDER, delivery_of(PLACED, transaction=transaction))
    (write,) = transaction.writes
    assert (write.action, write.request["TableName"], write.request["Key"]) == (
        "Update",
        f"{FABRIC}-{tables.CHARGES}",
        {tables.KEY: {"S": "order-1"}},
    )
    assert "ADD charges :one" in write.request["UpdateExpression"]
    assert write.request["ExpressionAttributeValues"][":cents"] == {"N": "1990"}


def test_a_refused_card_writes_nothing() -> None:
    transaction = DeliveryTransaction()
    with pytest.raises(billing.CardRefused, match="order-1"):
        billing.charge(
            replace(ORDER, card=billing.REFUSED_CARD), delivery_of(PLACED, transaction=transaction)
        )
    assert transaction.writes == []


@pytest.mark.usefixtures("facts_and_labels")
def test_shipping_an_event_twice_leaves_one_label() -> None:
    for _ in range(2):
        shipping.ship(PLACED, delivery_of(PLACED))
    assert ids_in(tables.LABELS) == ["/web#event-1"]


@pytest.mark.usefixtures("facts_and_labels")
def test_analytics_writes_one_fact_an_event_however_often_it_comes() -> None:
    other = Event(type="OrderPlaced", key="customer-1", id="event-1", source="/till")
    events = [PLACED, Event(type="CartUpdated", key="customer-2", id="event-2", source="/web"), PLACED, other]
    for _ in range(2):
        analytics.record(events, delivery_of(*events))
    assert ids_in(tables.FACTS) == ["/till#event-1", "/web#event-1", "/web#event-2"]
