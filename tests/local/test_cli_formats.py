"""`eventfabric formats` against a server: what is required and known, and raising it with a version that knows more."""

import pytest

from eventfabric.aws.region import aws_ports
from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model import Region
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.version import VERSION
from tests.local.commanded_fabric import EU, US, CommandedFabric
from tests.support.command_line import Ran
from tests.support.formats import LATER

STREAM, NAME = "wide", "subscription everywhere"


def formats(shop: CommandedFabric, *arguments: str) -> Ran:
    return shop.cli.run("formats", *arguments, *shop.options)


def declare(shop: CommandedFabric, known: Formats) -> None:
    for region in (US, EU):
        ports = aws_ports(shop.topology, shop.server.clients[region])
        request = f"{known} in {region}"
        declare_all(Deployer(shop.topology, Region(region), ports, "stack", request, formats=known))


def listed(shop: CommandedFabric) -> list[tuple[str, str, int, int]]:
    rows = formats(shop, "list", STREAM, "--json").json["formats"]
    return [(row["region"], row["who"], row["reads"], row["writes"]) for row in rows]


def test_they_are_raised_by_a_version_that_knows_them_once_all_that_is_deployed_does(
    shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(shop, OWN_FORMATS)
    unknown = formats(shop, "raise", STREAM, "--reads", "2", "--yes")
    assert (unknown.code, f"up to 1, which this version, {VERSION}, knows" in unknown.err) == (1, True)
    assert formats(shop, "raise", STREAM, "--yes").code == 2  # to what?

    monkeypatch.setattr("eventfabric.formats.OWN_FORMATS", LATER)
    refused = formats(shop, "raise", STREAM, "--reads", "2", "--yes")
    assert (refused.code, "which reads formats up to 1" in refused.err) == (1, True)
    declare(shop, LATER)
    assert formats(shop, "raise", STREAM, "--reads", "2", "--dry-run").out == "nothing stands against it\n"
    assert formats(shop, "raise", STREAM, "--reads", "2", "--json").code == 2  # nobody could be asked
    raised = formats(shop, "raise", STREAM, "--reads", "2", "--yes", "--json")
    assert raised.json == {"stream": STREAM, "raised": [US, EU], "unanswered": {}}
    again = formats(shop, "raise", STREAM, "--reads", "2", "--yes")
    assert (again.code, again.out) == (0, "they are required already, in every Region\n")
    assert "for only" in formats(shop, "raise", STREAM, "--writes", "2", "--yes").err
    for region in (US, EU):
        assert (region, "required", 2, 1) in listed(shop)
        assert (region, NAME, 2, 2) in listed(shop)

    monkeypatch.undo()
    old = shop.cli.run("lanes", "--stream", STREAM, *shop.options)
    assert (old.code, f"install eventfabric-aws {VERSION} or later" in old.err) == (1, True)
    assert (US, "required", 2, 1) in listed(shop)  # whoever is too old still sees why
