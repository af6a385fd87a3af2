"""`eventfabric subscriptions retire` against a server."""

import pytest

from eventfabric.aws.region import aws_ports
from eventfabric.model import EMPTY_TAIL, DeclarationLane, Region, StreamName
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from tests.local.commanded_fabric import EU, US, CommandedFabric
from tests.support.command_line import Ran

NAME = "everywhere"


def retire(shop: CommandedFabric, *arguments: str) -> Ran:
    return shop.cli.run("subscriptions", "retire", NAME, *arguments, *shop.options)


def declare(shop: CommandedFabric, request: str) -> None:
    for region in (US, EU):
        ports = aws_ports(shop.topology, shop.server.clients[region])
        declare_all(Deployer(shop.topology, Region(region), ports, by="stack", request_id=request))


def replicate(shop: CommandedFabric) -> None:
    """Bring what one Region has declared to the other, which the server does not do."""
    stream = shop.topology.stream(shop.topology.subscription(NAME).definition.stream)
    logs = {
        region: aws_ports(shop.topology, shop.server.clients[region]).log_of(stream) for region in (US, EU)
    }
    for source, target in ((US, EU), (EU, US)):
        lane = DeclarationLane.of(Region(source), StreamName(stream.name))
        for record in logs[source].read(lane, EMPTY_TAIL.sequence, records_max=100).records:
            logs[target].append(record)


@pytest.mark.parametrize("how", ["--drain", "--discard"])
def test_it_is_retired_in_every_region_and_once(shop: CommandedFabric, how: str) -> None:
    declare(shop, f"before {how}")
    assert retire(shop, "--dry-run", "--json").json["retired"] == []
    assert retire(shop).code == 2
    assert retire(shop, how, "--json").code == 2  # nobody could be asked
    ended = retire(shop, how, "--yes", "--json")
    assert (ended.code, ended.json["retired"], ended.json["unanswered"]) == (0, [US, EU], {})
    replicate(shop)
    again = retire(shop, how, "--yes")
    assert (again.code, "which is retired" in again.err) == (2, True)
    declare(shop, f"after {how}")
    assert "no answer" not in retire(shop, "--dry-run").out
