"""Tests of the sale and what follows from it, on a local fabric."""

import pytest

from cinema import tables
from cinema.box_office import SEATS, SeatTaken, sell
from cinema.tickets import TICKETS
from eventfabric import Fabric
from eventfabric.local import LocalFabric

REGION = "eu-central-1"


@pytest.fixture
def fabric(local_fabric: LocalFabric) -> Fabric:
    tables.make(local_fabric)
    return local_fabric.region(REGION)


def guests(local_fabric: LocalFabric, table: str) -> dict[str, str]:
    items = local_fabric.client("dynamodb", REGION).scan(TableName=table)["Items"]
    return {item["id"]["S"]: item["guest"]["S"] for item in items}


def test_a_seat_that_is_sold_gets_its_ticket(local_fabric: LocalFabric, fabric: Fabric) -> None:
    sell(fabric, "friday", "7", "ada")
    local_fabric.settle()
    assert guests(local_fabric, SEATS) == guests(local_fabric, TICKETS) == {"friday/7": "ada"}


def test_of_a_seat_that_is_taken_nobody_hears(local_fabric: LocalFabric, fabric: Fabric) -> None:
    sell(fabric, "friday", "7", "ada")
    with pytest.raises(SeatTaken):
        sell(fabric, "friday", "7", "bob")
    local_fabric.settle()
    assert guests(local_fabric, SEATS) == guests(local_fabric, TICKETS) == {"friday/7": "ada"}
    assert len(local_fabric.subscription("tickets").handled()) == 1
