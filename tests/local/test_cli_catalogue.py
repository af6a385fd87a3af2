"""`eventfabric subscriptions retire` and `eventfabric declared` against a server."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventfabric import deprecations
from eventfabric.aws.region import aws_ports
from eventfabric.cli import output
from eventfabric.deprecations import DeprecatedPart, PartKind
from eventfabric.model import EMPTY_TAIL, DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import State
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.operations.declared import DeclaredReader, RegionDeclared
from eventfabric.version import VERSION
from tests.local.commanded_fabric import DEFINITION, EU, US, CommandedFabric
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


def differences(shop: CommandedFabric, *arguments: str) -> list[tuple[str, str, str]]:
    ran = shop.cli.run("declared", *arguments, "--json", *shop.options)
    assert ran.code == (1 if ran.json["differences"] else 0), ran.err
    return [(own["region"], own["subscription"], own["what"]) for own in ran.json["differences"]]


def test_what_is_declared_is_shown_with_what_differs_and_what_to_do(shop: CommandedFabric) -> None:
    declare(shop, "shown")
    assert differences(shop, "orders") == []
    shown = shop.cli.run("declared", "orders", *shop.options)
    assert shown.code == 0
    for word in ("deployed", "regional", "billing", "subscribers.billing:charge", "nothing differs"):
        assert word in shown.out, word

    sqs = shop.server.clients[US].sqs
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="shop-audit.fifo")["QueueUrl"])
    assert differences(shop, "orders") == [(US, "audit", "its queue is not there")]
    shown = shop.cli.run("declared", "orders", *shop.options)
    assert (shown.code, "audit: its queue is not there: docs/runbook.md" in shown.out) == (1, True)


def test_who_runs_a_version_that_will_go_is_named(
    shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(shop, "versions")
    assert "deprecated" not in shop.cli.run("declared", "orders", *shop.options).err
    old = DeprecatedPart(PartKind.VERSION, VERSION, "0.8", "0.9", "a later one")
    monkeypatch.setattr(deprecations, "PARTS", (old,))
    ran = shop.cli.run("declared", "orders", "--json", *shop.options)
    assert f"billing in {US} runs version {VERSION}: {old}" in " ".join(ran.err.split())
    assert str(old) not in ran.out


def test_a_definition_that_is_edited_differs_from_what_is_declared(
    shop: CommandedFabric, tmp_path: Path
) -> None:
    declare(shop, "edited")
    edited = tmp_path / "edited.toml"
    edited.write_text(
        DEFINITION.replace("lanes = 1", "lanes = 4").replace("subscriptions.audit", "subscriptions.checks")
    )
    options = ("--definition", str(edited), *shop.options[2:])
    ran = shop.cli.run("declared", "orders", "--json", *options)
    assert ran.code == 1
    by_name = {(own["subscription"], own["what"]): own["do"] for own in ran.json["differences"]}
    assert by_name[None, "lanes is declared as 1; the definition says 4"].startswith("put it back")
    assert "deploy --all" in by_name["checks", "it is in the definition, and nothing is declared of it"]
    assert "retire audit" in by_name["audit", "it is declared as active, and not in the definition"]


def test_what_is_asked_of_the_only_stream_needs_its_name_where_there_are_several(
    shop: CommandedFabric,
) -> None:
    said = shop.cli.refused("backfill", "--from", US, "--to", EU, "--dry-run", *shop.options, code=2)
    assert "allowed: --stream with one of orders, wide" in said


def test_lanes_that_lag_are_counted_as_such(shop: CommandedFabric) -> None:
    declare(shop, "lag")
    assert (
        "0 lanes that lag, 0 events"
        in shop.cli.run("lanes", "--lagging", "--stream", "wide", *shop.options).out
    )


def test_the_name_of_the_fabric_is_enough(shop: CommandedFabric) -> None:
    named = ("--fabric", "shop", "--region", EU, *shop.options[2:])
    ran = shop.cli.run("declared", "wide", "--json", *named)
    assert [own["region"] for own in ran.json["streams"]["wide"]] == [US, EU]
    assert shop.cli.run("declared", *named).code == 2  # nobody knows the streams
    nowhere = shop.cli.refused("declared", "wide", "--fabric", "shop", *shop.options[2:], code=2)
    assert "allowed: beside --region, AWS_REGION or a profile with a Region" in nowhere
    assert shop.cli.run("declared", "wide", "--fabric", "shop", *shop.options).code == 2
    for name in ("none", "No name"):
        assert "has no table shop-" in shop.cli.refused("declared", name, *named, code=2)
    assert "there are: orders, wide" in shop.cli.refused("declared", "none", *shop.options, code=2)


def test_the_history_says_who_changed_what_newest_first(shop: CommandedFabric) -> None:
    declare(shop, "history")
    ports = aws_ports(shop.topology, shop.server.clients[US])
    stream = shop.topology.stream("orders")
    for request, state in (("1", State.DRAINING), ("2", State.RETIRED)):
        deployer = Deployer(shop.topology, Region(US), ports, by="ann", request_id=request)
        deployer.declare_state(stream, "audit", state)
    history = shop.cli.run("declared", "orders", "--history", "--limit", "2", "--json", *shop.options)
    changes = [(own["by"], own["kind"], own["of"]) for own in history.json["history"]]
    assert (history.code, changes) == (0, [("ann", "retired", "audit"), ("ann", "draining", "audit")])
    assert history.json["history"][0]["changed"] == [
        {"of": "audit", "member": "state", "before": "draining", "after": "retired"}
    ]
    shown = shop.cli.run("declared", "orders", "--history", *shop.options)
    assert "state draining -> retired" in shown.out
    every = shop.cli.run("declared", "--history", "--limit", "3", "--json", *shop.options).json["history"]
    times = [own["at_ms"] for own in every]
    assert len(times) == 3
    assert times == sorted(times, reverse=True)
    assert "audit: state " in shown.out


@pytest.mark.parametrize("command", ["declared", "declared --history", "formats list"])
def test_a_region_that_cannot_be_read_is_named_with_what_it_answered(
    shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    declare(shop, "unread")
    read = DeclaredReader.read

    def refused_in_eu(*arguments: Any) -> list[RegionDeclared]:
        return [replace(own, error="Query: denied" if own.region == EU else "") for own in read(*arguments)]

    monkeypatch.setattr(DeclaredReader, "read", refused_in_eu)
    ran = shop.cli.run(*command.split(), "--json", *shop.options)
    assert ran.code == 1
    assert (
        f"{EU} cannot be read, so what is declared there is shown as far as it has come here: Query:"
        in ran.err
    )


def test_a_stream_is_shown_that_only_the_definition_has_or_only_the_deployment(
    shop: CommandedFabric, tmp_path: Path
) -> None:
    declare(shop, "streams")
    file = tmp_path / "more.toml"
    file.write_text(DEFINITION.replace("streams.wide", "streams.more").replace('"wide"', '"more"'))
    options = ("--json", "--definition", str(file), *shop.options[2:])
    ran = shop.cli.run("declared", "wide", *options)
    assert ran.err == ""
    assert {own["what"] for own in ran.json["differences"]} == {
        "it is declared, and the definition has no such stream"
    }
    ran = shop.cli.run("declared", "more", *options)
    assert [own["do"].partition(" if")[0] for own in ran.json["differences"]] == 2 * [
        "`eventfabric deploy --all`"
    ]


@pytest.mark.parametrize("columns", [60, 80])
def test_on_a_narrow_terminal_each_row_is_a_paragraph_and_no_word_is_broken(
    shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    declare(shop, "narrow")
    monkeypatch.setattr(output, "stdout", output._Output(force_terminal=True, width=columns))
    for history in ([], ["--history"]):
        shown = shop.cli.run("declared", "wide", *history, *shop.options).out
        table = shown.partition("\n\n")[0].splitlines()
        assert max(map(len, table)) <= columns
        assert {"shop", US, EU} <= set(re.findall(r"[\w-]+", shown))


def test_operators_see_a_subscription_that_is_declared_and_not_defined(
    shop: CommandedFabric, tmp_path: Path
) -> None:
    declare(shop, "beside")
    shop.publish("a1")
    other = tmp_path / "other.toml"
    other.write_text(DEFINITION.replace("subscriptions.audit", "subscriptions.checks"))
    options = ("--definition", str(other), *shop.options[2:])
    listed = shop.cli.run("subscriptions", "list", "--json", *options).json
    assert {"audit", "checks"} <= set(listed)
    lags = {
        own["subscription"]: own["lag"] for own in shop.cli.run("lanes", "--json", *options).json["lanes"]
    }
    assert lags["audit"] == lags["checks"] >= 1
    for command in ("parked", "dead-letters"):
        assert shop.cli.run(command, "list", "audit", "--json", *options).json == []
