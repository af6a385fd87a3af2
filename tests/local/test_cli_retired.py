"""A subscription that is retired, between that and the next deployment: shown as that, and no command acts on it."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from eventfabric.aws.region import aws_ports
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.services.operations.retire import Retirement
from tests.local.commanded_fabric import US, CommandedFabric
from tests.local.test_cli_catalogue import NAME, declare, replicate, retire
from tests.support.later_declarations import append_later


@pytest.fixture
def retired(shop: CommandedFabric) -> Iterator[CommandedFabric]:
    declare(shop, uuid4().hex)
    assert retire(shop, "--discard", "--yes").code == 0
    replicate(shop)
    yield shop
    declare(shop, uuid4().hex)


def test_lists_say_so_and_leave_it_out_of_what_is_to_be_delivered(retired: CommandedFabric) -> None:
    listed = retired.cli.run("subscriptions", "list", "--json", *retired.options).json
    assert (listed[NAME]["declared"], listed["billing"]["declared"]) == ("retired", "active")
    shown = retired.cli.run("subscriptions", "list", *retired.options).out
    [row] = [line for line in shown.splitlines() if NAME in line]
    assert row.split() == [NAME, "retired", "nothing"]
    lanes = retired.cli.run("lanes", "--json", *retired.options).json["lanes"]
    assert NAME not in {own["subscription"] for own in lanes}
    handed = retired.cli.run("failover", "--from", "eu-west-1", "--to", US, "--dry-run", *retired.options)
    assert (handed.code, "no subscription's stream is in both" in handed.err) == (2, True)


@pytest.mark.parametrize("command", ["pause", "resume", "replay"])
def test_nothing_is_done_to_it(retired: CommandedFabric, command: str) -> None:
    more = ("--from", "0") if command == "replay" else ()
    ran = retired.cli.run("subscriptions", command, NAME, *more, *retired.options)
    assert (ran.code, f"{NAME}, which is retired" in ran.err) == (2, True), ran.err


def test_events_behind_a_dead_one_count_as_given_up(shop: CommandedFabric) -> None:
    declare(shop, uuid4().hex)
    shop.dead("y1", behind=("y2", "y3"))
    left = shop.cli.run("subscriptions", "retire", "billing", "--dry-run", "--json", *shop.options).json[
        "left"
    ]
    [own] = [lane for lane in left if lane["dead"]]
    behind = own["waiting_behind"]
    assert (behind >= 2, own["more_waiting"]) == (True, False)
    asked = shop.cli.run("subscriptions", "retire", "billing", "--discard", *shop.options)
    assert f"give up {own['waiting'] + own['dead'] + behind} events?" in asked.out + asked.err


def test_an_interruption_says_that_it_drains(shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(shop, uuid4().hex)

    def drain(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Retirement, "drain", drain)
    ran = shop.cli.run("subscriptions", "retire", NAME, "--drain", "--yes", *shop.options)
    assert (ran.code, f"{NAME} is draining, and not retired" in ran.err) == (130, True)


def test_one_that_a_later_version_declares_is_left_out_of_lists_with_a_complaint(
    shop: CommandedFabric,
) -> None:
    declare(shop, uuid4().hex)
    ports = aws_ports(shop.topology, shop.server.clients[US])
    log, lane = (
        ports.log_of(shop.topology.stream("orders")),
        DeclarationLane.of(Region(US), StreamName("orders")),
    )

    def edit(members: dict[str, Any]) -> None:
        members["subscriptions"]["billing"]["guarantee"] = "exactly_thrice"

    def mend(members: dict[str, Any]) -> None:
        members["subscriptions"]["billing"]["guarantee"] = "exactly_once"

    append_later(log, lane, ports.clock, edit)
    listed = shop.cli.run("subscriptions", "list", "--json", *shop.options)
    lanes = shop.cli.run("lanes", "--json", *shop.options)
    append_later(log, lane, ports.clock, mend)
    assert ("billing" in listed.json, "audit" in listed.json) == (False, True)
    assert "billing" in listed.err
    assert (lanes.code, "billing" in {own["subscription"] for own in lanes.json["lanes"]}) == (
        listed.code,
        False,
    )
