"""A type whose end is announced: who has no definition learns of it, and no deployment brings it forward."""

from collections.abc import Iterator
from itertools import count

import boto3
import pytest

from eventfabric import Fabric, deprecations
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import parse_definition
from eventfabric.deprecations import FabricDeprecationWarning
from eventfabric.model import Region
from eventfabric.services.catalogue.check import Checker
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.topology import Topology
from tests.local.commanded_fabric import DEFINITION, US, CommandedFabric

END = """
[streams.orders.types.Placed.deprecated]
since = "2020-01-01"
sunset = "{sunset}"
use = "Accepted"
"""


@pytest.fixture(autouse=True)
def nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecations, "_warned", set())


REQUESTS = count()


def declare(shop: CommandedFabric, topology: Topology) -> None:
    request = f"deprecation {next(REQUESTS)}"
    ports = aws_ports(topology, shop.server.clients[US])
    declare_all(Deployer(topology, Region(US), ports, by="stack", request_id=request))


def ending(sunset: str) -> Topology:
    return Topology(parse_definition(DEFINITION + END.format(sunset=sunset)))


@pytest.fixture
def announced(shop: CommandedFabric) -> Iterator[CommandedFabric]:
    """A shop that has announced an end; nothing is announced afterwards."""
    declare(shop, ending("2999-01-01"))
    yield shop
    declare(shop, shop.topology)


def test_a_producer_of_another_repository_is_warned_and_marks_its_events(announced: CommandedFabric) -> None:
    session = boto3.Session("local", "local", region_name=US)
    url = announced.options[announced.options.index("--endpoint-url") + 1]
    producer = Fabric.connect("shop", region=US, session=session, endpoint_url=url, source="/elsewhere")
    with pytest.warns(FabricDeprecationWarning, match="Accepted"):
        receipt = producer.publish("orders", key="a", type="Placed")
    place = f"{receipt.lane}@{receipt.sequence}"
    shown = announced.cli.run("show", place, "--stream", "orders", "--json", *announced.options).json
    assert (shown["event"]["deprecated"], shown["event"]["deprecationsunset"]) == (
        True,
        "2999-01-01T00:00:00Z",
    )
    assert shown["event"]["deprecationmigration"] == "eventfabric:orders/Accepted"


def test_what_is_declared_shows_it_and_no_deployment_brings_it_forward(announced: CommandedFabric) -> None:
    declared = announced.cli.run("declared", "orders", "--json", *announced.options).json
    [own] = declared["streams"]["orders"]
    [end] = own["stream"]["deprecated"]
    assert (end["type"], end["sunset"]) == ("Placed", "2999-01-01")
    assert [own["what"] for own in declared["differences"] if "deprecated" in own["what"]]

    for sunset, problems in (("2998-12-31", 1), ("2999-01-01", 0), ("2999-01-02", 0)):
        wanted = ending(sunset)
        ports = aws_ports(wanted, announced.server.clients[US])
        checker = Checker(wanted, Region(US), ports, None, one_after_another)
        assert len(list(checker.of_stream(wanted.stream("orders")))) == problems, sunset
