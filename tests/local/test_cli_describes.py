"""`eventfabric catalogue` and `eventfabric types`: from files alone, and against a server."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventfabric.aws.region import aws_ports
from eventfabric.cli.catalogue import watching
from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.contracts.identity import SchemaIdentity
from eventfabric.model import Region
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.services.operations.observation import Observation
from tests.local.commanded_fabric import DEFINITION, US, CommandedFabric
from tests.support.command_line import CommandLine, Ran
from tests.support.described import ORDER, SHOP

FIRST = read_schema('{"type":"object","properties":{"name":{"type":"string"}}}', where="-")
SECOND = read_schema('{"type":"object","properties":{"name":{"type":"string","maxLength":9}}}', where="-")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A definition with schemas beside it."""
    definition = tmp_path / "fabric.toml"
    definition.write_text(SHOP)
    folder = tmp_path / "schemas" / "orders"
    folder.mkdir(parents=True)
    (folder / "OrderPlaced.json").write_text(json.dumps(ORDER))
    return definition


class TestFiles:
    def test_a_page_and_a_document_are_written(self, cli: CommandLine, project: Path, tmp_path: Path) -> None:
        output, alone = tmp_path / "new" / "catalogue", tmp_path / "alone.json"
        ran = cli.run("catalogue", "--definition", project, "--output", output, "--asyncapi", alone, "--json")
        assert (ran.code, ran.json["written"]) == (
            0,
            [*map(str, (output / "index.html", output / "asyncapi.json", alone))],
        )
        assert "An order was placed" in (output / "index.html").read_text()
        assert alone.read_bytes() == (output / "asyncapi.json").read_bytes()
        document = json.loads(alone.read_text())
        assert document == cli.run("catalogue", "--definition", project, "--json").json
        [example] = document["components"]["messages"]["orders.OrderPlaced"]["examples"]
        assert example["payload"]["lines"] == [{"sku": "sku"}]

    def test_types_are_listed_with_who_gets_them(self, cli: CommandLine, project: Path) -> None:
        ran = cli.run("catalogue", "--definition", project)
        assert ran.code == 0
        for said in ("OrderPlaced", "billing, audit", "2027-06-01", "InvoiceIssued", "no schema"):
            assert said in ran.out
        only = cli.run("catalogue", "--definition", project, "--stream", "invoices")
        assert ("OrderPlaced" in only.out, "InvoiceIssued" in only.out) == (False, True)

    def test_a_schema_that_is_none_ends_in_one_complaint(self, cli: CommandLine, project: Path) -> None:
        (project.parent / "schemas/orders/OrderPlaced.json").write_text('{"type": "thing"}')
        assert "OrderPlaced.json" in cli.refused("catalogue", "--definition", project, code=2)

    def test_an_unknown_stream_and_a_bad_time_are_refused(self, cli: CommandLine, project: Path) -> None:
        cli.refused("catalogue", "--definition", project, "--stream", "none", code=2)
        assert "--since" in cli.refused("catalogue", "--definition", project, "--since", "noon", code=2)


def register(shop: CommandedFabric, document: SchemaDocument, type_: str = "Placed") -> None:
    ports = aws_ports(shop.topology, shop.server.clients[US])
    stream = shop.topology.stream("orders")
    reader = SchemaReader(stream, ports.log_of(stream))
    Registration(
        reader, lambda *_: (), ports.clock, ports.entropy, by="test", request_id=f"{document.digest} {type_}"
    ).register({type_: document})


@pytest.fixture
def registered(shop: CommandedFabric) -> CommandedFabric:
    ports = aws_ports(shop.topology, shop.server.clients[US])
    declare_all(Deployer(shop.topology, Region(US), ports, by="stack", request_id="described"))
    register(shop, FIRST)
    register(shop, SECOND)
    return shop


def run(shop: CommandedFabric, *arguments: str | Path) -> Ran:
    return shop.cli.run(*arguments, *shop.options)


def test_what_is_registered_is_described_with_its_versions(registered: CommandedFabric) -> None:
    document = run(registered, "catalogue", "--deployed", "--stream", "orders", "--json").json
    message = document["components"]["messages"]["orders.Placed"]
    assert message["x-versions"][-1]["number"] >= 2
    schemas = [own["schema"] for own in document["components"]["schemas"].values()]
    assert FIRST.value in schemas
    assert SECOND.value in schemas
    assert {"receive.billing", "receive.audit"} <= document["operations"].keys()


def test_each_version_is_described_once_and_the_one_in_force_is_the_last(
    registered: CommandedFabric, tmp_path: Path
) -> None:
    register(registered, FIRST, "Returned")
    register(registered, SECOND, "Returned")
    register(registered, FIRST, "Returned")
    output = tmp_path / "catalogue"
    assert run(registered, "catalogue", "--deployed", "--stream", "orders", "--output", output).code == 0
    document = json.loads((output / "asyncapi.json").read_text())
    message = document["components"]["messages"]["orders.Returned"]
    assert [own["number"] for own in message["x-versions"]] == [2, 1]
    assert message["payload"]["$ref"] == message["x-versions"][-1]["schema"]
    page = (output / "index.html").read_text()
    of_type = page[page.index("Returned</h3>") :]
    assert "Other versions (1)" in of_type
    assert of_type.count("</summary>") == of_type.count(f"({SECOND.digest})</summary>") == 1


def test_what_flows_is_compared_with_what_is_declared(registered: CommandedFabric) -> None:
    uri = str(SchemaIdentity("orders", "Placed", FIRST.digest))
    producer = registered.server.producer
    producer.publish("orders", key="a", type="Placed", headers={"dataschema": uri}, data={"name": "secret"})
    producer.publish("orders", key="a", type="Odd", source="/elsewhere", headers={"dataschema": "urn:none"})
    ran = run(registered, "catalogue", "--observed", "--stream", "orders", "--json")
    assert ran.code == 1
    assert "more read units" in ran.err
    [stream] = ran.json["streams"]
    assert (stream["whole"], stream["complete"], stream["unread"]) == (True, True, 0)
    kinds = {(own["kind"], own["about"]) for own in stream["differences"]}
    assert {
        ("undeclared_type", "Odd"),
        ("undeclared_source", "/elsewhere"),
        ("unregistered_schema", "Odd: urn:none"),
    } <= kinds
    assert not any(about == "Placed" for _, about in kinds)
    assert "secret" not in ran.out + ran.err

    shown = run(registered, "catalogue", "--observed", "--stream", "orders", "--last", "1")
    assert shown.code == 1
    assert "nobody declared this type" in shown.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("step", ["look", "read", "_add"])
def test_an_interrupted_observation_shows_what_was_read(
    registered: CommandedFabric, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, step: str
) -> None:
    def interrupted(observation: Observation, *_: object) -> Iterator[None]:
        signal.raise_signal(number)
        return iter(())

    registered.server.producer.publish("orders", key="a", type="Placed")
    registered.server.producer.publish("orders", key="a", type="Placed")
    monkeypatch.setattr(Observation, step, interrupted)
    ran = run(registered, "catalogue", "--observed", "--stream", "orders", "--json")
    assert (ran.code, ran.json["streams"][0]["complete"]) == (130, False)
    assert "interrupted" in ran.err
    shown = run(registered, "catalogue", "--observed", "--stream", "orders")
    assert (shown.code, "not all that was asked for" in shown.out) == (130, True)
    kept = run(registered, "types", "show", "Placed", "--stream", "orders")
    assert (kept.code, "safe to remove: no" in kept.out) == (130, True)
    assert watching.moment(0) == ""


def test_types_are_listed_and_one_is_shown_with_what_keeps_it(registered: CommandedFabric) -> None:
    listed = run(registered, "types", "list", "--stream", "orders", "--json").json
    placed = next(own for own in listed if own["type"] == "Placed")
    assert placed["version"] == 2
    assert placed["subscriptions"] == ["billing", "audit"]
    assert "Placed" in run(registered, "types", "list").out
    register(registered, FIRST)
    listed = run(registered, "types", "list", "--stream", "orders", "--json").json
    assert {own["type"]: own["version"] for own in listed}["Placed"] == 1

    registered.publish("kept1", type="Placed")
    registered.deliver()
    ran = run(registered, "types", "show", "Placed", "--stream", "orders", "--json")
    assert (ran.code, ran.json["safe"]) == (1, False)
    kinds = {(own["kind"], own["about"]) for own in ran.json["because"]}
    assert ("published", "/shop/orders") in kinds
    assert ("waiting", "audit") in kinds
    by_name = {own["subscription"]: own for own in ran.json["subscriptions"]}
    assert by_name["billing"]["handled_ms"] > 0
    assert (by_name["billing"]["waiting"], by_name["audit"]["handled_ms"]) == (0, 0)
    shown = run(registered, "types", "show", "Placed", "--stream", "orders")
    assert "safe to remove: no, because it is published by /shop/orders" in shown.out


@pytest.mark.parametrize(
    ("observed", "arguments"),
    [
        ("--observed", ("--output", "somewhere")),
        ("--observed", ("--asyncapi", "somewhere")),
        ("--deployed", ("--last", "10")),
        ("--deployed", ("--since", "2026-11-01T00:00:00Z")),
        ("--deployed", ("--read-units", "5")),
    ],
)
def test_what_would_have_no_effect_on_a_catalogue_is_refused(
    shop: CommandedFabric, observed: str, arguments: tuple[str, ...]
) -> None:
    refused = shop.cli.refused("catalogue", observed, *arguments, *shop.options, code=2)
    assert arguments[0] in refused
    assert not Path("somewhere").exists()


def test_a_type_that_nobody_knows_is_not_said_to_be_safe_to_remove(registered: CommandedFabric) -> None:
    ran = run(registered, "types", "show", "OrderPlcaed", "--stream", "orders", "--json")
    assert (ran.code, ran.json["safe"]) == (1, False)
    assert [own["kind"] for own in ran.json["because"]] == ["unknown"]


def test_a_type_that_nobody_uses_is_safe_to_remove(registered: CommandedFabric) -> None:
    register(registered, FIRST, "Never")
    ran = run(registered, "types", "show", "Never", "--stream", "orders")
    assert ran.code == 0
    assert "Never: no event of" in ran.out
    assert "safe to remove: yes, because the log has no event of it" in ran.out


def test_a_type_that_only_the_definition_names_is_to_be_taken_out_there(
    registered: CommandedFabric, tmp_path: Path
) -> None:
    edited = tmp_path / "edited.toml"
    edited.write_text(DEFINITION + '[streams.orders.types.OnlyNamed]\ncompatibility = "none"\n')
    options = ("--definition", str(edited), *registered.options[2:])
    ran = registered.cli.run("types", "show", "OnlyNamed", "--stream", "orders", *options)
    assert ran.code == 0
    assert "[streams.orders.types]" in ran.out
    assert "OnlyNamed" in registered.cli.run("types", "list", "--stream", "orders", *options).out


def test_a_retired_subscription_gets_no_type(registered: CommandedFabric) -> None:
    show = ("types", "show", "Never", "--stream", "wide")
    assert "no event of any type was seen in wide" in run(registered, *show).out
    retire = ("subscriptions", "retire", "everywhere", "--discard", "--yes", *registered.options)
    assert registered.cli.run(*retire).code == 0
    assert "wide: no subscription gets it" in run(registered, *show).out


def test_a_stream_without_types_has_none_to_list(shop: CommandedFabric) -> None:
    assert "no type is registered" in run(shop, "types", "list", "--stream", "wide").out


def test_a_subscription_that_names_a_type_keeps_it(registered: CommandedFabric, tmp_path: Path) -> None:
    edited = tmp_path / "edited.toml"
    edited.write_text(DEFINITION.replace("[subscriptions.audit]", '[subscriptions.audit]\ntypes = ["Never"]'))
    options = ("--definition", str(edited), *registered.options[2:])
    ran = registered.cli.run("types", "show", "Never", "--stream", "orders", "--json", *options)
    assert [own["kind"] for own in ran.json["because"]] == ["asked_for"]
