"""Tests of the handler on a local fabric, with a table as the depot's stack has one."""

import pytest

from eventfabric.local import LocalFabric

REGION = "eu-central-1"


@pytest.fixture
def stock(local_fabric: LocalFabric, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "Depot-Stock4711"
    local_fabric.client("dynamodb", REGION).create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    monkeypatch.setenv("STOCK_TABLE", name)
    return name


def test_parcels_are_counted_by_kind(local_fabric: LocalFabric, stock: str) -> None:
    fabric = local_fabric.region(REGION)
    for parcel, kind in (("P-1", "letter"), ("P-2", "crate"), ("P-3", "letter")):
        fabric.publish("parcels", key=parcel, type="ParcelScanned", data={"kind": kind})
    local_fabric.settle()
    rows = local_fabric.client("dynamodb", REGION).scan(TableName=stock)["Items"]
    assert {row["id"]["S"]: row["parcels"]["N"] for row in rows} == {"letter": "2", "crate": "1"}
