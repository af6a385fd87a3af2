"""Tests of what the box office publishes. A function that does nothing stands in for the fabric's handler."""

from typing import Any

import pytest

from cinema import tables
from cinema.box_office import SEATS, SeatTaken, cancel, sell
from eventfabric import Delivery, Event, Fabric, subscriber
from eventfabric.local import LocalFabric

REGION = "eu-central-1"


@subscriber
def print_ticket(event: Event, delivery: Delivery) -> None:
    """Stand in for the handler, which is not here."""


pytestmark = pytest.mark.eventfabric(handlers={"tickets": print_ticket})


@pytest.fixture
def fabric(local_fabric: LocalFabric) -> Fabric:
    tables.make(local_fabric)
    return local_fabric.region(REGION)


def guests(local_fabric: LocalFabric) -> dict[str, str]:
    items = local_fabric.client("dynamodb", REGION).scan(TableName=SEATS)["Items"]
    return {item["id"]["S"]: item["guest"]["S"] for item in items}


def handled(local_fabric: LocalFabric) -> list[Any]:
    local_fabric.settle()
    return [entry.event.data for entry in local_fabric.subscription("tickets").handled()]


def test_a_seat_that_is_sold_is_published(local_fabric: LocalFabric, fabric: Fabric) -> None:
    sell(fabric, "friday", "7", "ada")
    assert guests(local_fabric) == {"friday/7": "ada"}
    assert handled(local_fabric) == [{"seat": "7", "guest": "ada"}]


def test_of_a_seat_that_is_taken_nobody_hears(local_fabric: LocalFabric, fabric: Fabric) -> None:
    sell(fabric, "friday", "7", "ada")
    with pytest.raises(SeatTaken):
        sell(fabric, "friday", "7", "bob")
    assert guests(local_fabric) == {"friday/7": "ada"}
    assert handled(local_fabric) == [{"seat": "7", "guest": "ada"}]


def test_a_show_is_cancelled_behind_its_sales(local_fabric: LocalFabric, fabric: Fabric) -> None:
    sold, cancelled = sell(fabric, "friday", "7", "ada"), cancel(fabric, "friday")
    assert (cancelled.lane, cancelled.sequence) == (sold.lane, sold.sequence + 1)
    assert handled(local_fabric) == [{"seat": "7", "guest": "ada"}]
