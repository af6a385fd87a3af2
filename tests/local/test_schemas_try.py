"""`eventfabric schemas try`: the last real events against schemas, upcasters and a handler's type."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventfabric import Fabric
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.contracts.identity import DATA_SCHEMA, SchemaIdentity
from eventfabric.definition.file import parse_definition
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.topology import Topology
from tests.support.command_line import CommandLine, local_up

DEFINITION = """
[fabric]
name = "shop"
regions = ["us-east-1"]
[streams.orders]
lanes = 2
[streams.refunds]
lanes = 1
[subscriptions.billing]
stream = "orders"
handler = "handlers_of_try:charge"
types = ["OrderPlaced", "OrderPaid"]
"""
HANDLERS = """
from dataclasses import dataclass
from pathlib import Path

from eventfabric import Delivery, subscriber, upcast

@dataclass
class Order:
    order: str
    cents: int

@upcast("OrderPlaced", 0, 1)
def with_cents(data):
    return data if "cents" in data else {"order": data["order"], "cents": round(data["total"] * 100)}

@subscriber
def charge(order: Order, delivery: Delivery) -> None:
    assert not Path("was_called").exists()
"""
SCHEMA = {
    "type": "object",
    "required": ["order"],
    "properties": {"order": {"type": "string"}, "cents": {"type": "number", "minimum": 0}},
}
SECRET = "opensesame"
PAID, UNKNOWN = (
    read_schema(json.dumps({**SCHEMA, "description": text}), where="-") for text in ("Paid.", "Unknown.")
)
EVENTS: list[tuple[str, Any]] = [
    ("OrderPlaced", {"order": "a", "total": 1.5}),
    ("OrderPlaced", {"order": "b", "cents": 5}),
    ("OrderPlaced", {"order": SECRET}),  # the upcaster fails
    ("OrderPlaced", {"order": "c", "cents": -1}),  # the schema refuses it
    ("OrderPlaced", {"order": "d", "cents": 1.5}),  # the handler's type refuses it
    ("OrderPaid", {"order": "e", "cents": 5}),
    ("OrderSeen", SECRET),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "infra/schemas/orders").mkdir(parents=True)
    (folder / "functions").mkdir()
    (folder / "infra/fabric.toml").write_text(DEFINITION)
    (folder / "infra/schemas/orders/OrderPlaced.json").write_text(json.dumps(SCHEMA))
    (folder / "functions/handlers_of_try.py").write_text(HANDLERS)
    return folder


def register(url: str, document: SchemaDocument) -> None:
    topology = Topology(parse_definition(DEFINITION))
    ports, stream = aws_ports(topology, Clients("us-east-1", endpoint_url=url)), topology.stream("orders")
    reader = SchemaReader(stream, ports.log_of(stream))
    registration = Registration(
        reader, lambda *_: (), ports.clock, ports.entropy, by="a test", request_id=document.digest
    )
    registration.register({"OrderPaid": document})


@pytest.fixture(scope="module")
def endpoint(project: Path) -> Iterator[str]:
    path = project / "infra/fabric.toml"
    with (
        local_up(project, "--definition", str(path), "--no-deliver") as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        fabric = Fabric.connect("shop", region="us-east-1", endpoint_url=url)
        register(url, PAID)
        for number, (type_, data) in enumerate(EVENTS):
            fabric.publish("orders", key=f"k{number}", type=type_, data=data)
        for document in (PAID, UNKNOWN):
            named = {DATA_SCHEMA: str(SchemaIdentity("orders", "OrderPaid", document.digest))}
            fabric.publish(
                "orders", key="k", type="OrderPaid", data={"order": "f", "cents": 1}, headers=named
            )
        yield url


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: Path, endpoint: str
) -> CommandLine:
    command_line = CommandLine(capsys, monkeypatch)
    monkeypatch.chdir(project)
    return command_line


def test_what_would_fail_is_said_by_stage_place_and_rule(cli: CommandLine, endpoint: str) -> None:
    tried = cli.run("schemas", "try", "--subscription", "billing", "--endpoint-url", endpoint, "--json")
    assert tried.code == 1
    facts = tried.json
    assert (facts["events"], facts["interrupted"]) == (8, False)
    assert facts["types"] == [
        {"type": "OrderPaid", "version": None, "events": 1, "failing": 0},
        {"type": "OrderPaid", "version": 0, "events": 1, "failing": 0},
        {"type": "OrderPaid", "version": 1, "events": 1, "failing": 0},
        {"type": "OrderPlaced", "version": 0, "events": 5, "failing": 3},
    ]
    failures = {failure["stage"]: failure for failure in facts["failures"]}
    assert set(failures) == {"upcaster", "schema", "handler"}
    assert "with_cents" in failures["upcaster"]["problem"]
    assert failures["schema"]["problem"].startswith("data/cents: ")
    assert failures["handler"]["problem"].startswith("data/cents: ")
    assert all(len(failure["places"]) == 1 for failure in failures.values())
    assert SECRET not in tried.out


def test_people_are_shown_the_same(cli: CommandLine, endpoint: str) -> None:
    tried = cli.run("schemas", "try", "--subscription", "billing", "--endpoint-url", endpoint)
    assert tried.code == 1
    assert "OrderPaid" in tried.out
    assert "fail at the schema: data/cents" in tried.out
    assert SECRET not in tried.out + tried.err


def test_without_a_subscription_events_are_held_to_what_publishing_is_held_to(
    cli: CommandLine, endpoint: str
) -> None:
    tried = cli.run("schemas", "try", "--stream", "orders", "--endpoint-url", endpoint, "--json")
    assert tried.json["events"] == len(EVENTS) + 2
    problems = [failure["problem"] for failure in tried.json["failures"]]
    assert any(
        "without a name in the schema" in problem for problem in problems
    )  # `total`: publishing is closed
    assert {failure["type"] for failure in tried.json["failures"]} == {"OrderPlaced"}


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("--schemas", ("--stream", "orders", "--schemas", "nowhere")),
        ("--schemas", ("--stream", "orders", "--schemas", "infra/fabric.toml")),
        ("--stream", ("--subscription", "billing", "--stream", "refunds")),
    ],
)
def test_an_option_that_would_have_no_effect_is_refused(
    cli: CommandLine, endpoint: str, option: str, arguments: tuple[str, ...]
) -> None:
    assert option in cli.refused("schemas", "try", *arguments, "--endpoint-url", endpoint, code=2)


def test_the_stream_of_a_subscription_may_be_named(cli: CommandLine, endpoint: str) -> None:
    named = ("--subscription", "billing", "--stream", "orders", "--last", "1")
    assert cli.run("schemas", "try", *named, "--endpoint-url", endpoint).code == 0


def test_only_the_newest_events_are_tried(cli: CommandLine, endpoint: str) -> None:
    newest = cli.run(
        "schemas", "try", "--stream", "orders", "--last", "4", "--endpoint-url", endpoint, "--json"
    )
    assert newest.code == 0
    assert [of["type"] for of in newest.json["types"]] == ["OrderPaid"] * 3 + ["OrderSeen"]


def test_classes_are_made_of_what_is_registered(cli: CommandLine, endpoint: str) -> None:
    made = cli.run("schemas", "types", "--deployed", "--stream", "orders", "--endpoint-url", endpoint)
    assert made.code == 0
    assert 'class OrderPaid(Struct, frozen=True, kw_only=True):\n    """Paid."""' in made.out


def test_a_stream_without_events_has_nothing_that_fails(cli: CommandLine, endpoint: str) -> None:
    tried = cli.run("schemas", "try", "--stream", "refunds", "--endpoint-url", endpoint)
    assert (tried.code, "no such event" in tried.err) == (0, True)


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interruption_shows_what_was_tried(
    cli: CommandLine, endpoint: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    from eventfabric.typed.trial import Trial

    of = Trial.of

    def interrupted(self: Trial, event: Any, *, at_ms: int) -> None:
        if self.tried.events == 2:
            signal.raise_signal(number)
        of(self, event, at_ms=at_ms)

    monkeypatch.setattr(Trial, "of", interrupted)
    tried = cli.run("schemas", "try", "--stream", "orders", "--endpoint-url", endpoint, "--json")
    assert (tried.code, tried.json["events"], tried.json["interrupted"]) == (130, 2, True)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("as_json", [True, False])
def test_an_interruption_within_an_upcaster_ends_the_trial(
    cli: CommandLine, endpoint: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, as_json: bool
) -> None:
    from eventfabric.sdk.upcasters import Upcasting

    def interrupted(self: Upcasting, event: Any) -> Any:
        signal.raise_signal(number)

    monkeypatch.setattr(Upcasting, "__call__", interrupted)
    options = ("--endpoint-url", endpoint, *(("--json",) if as_json else ()))
    tried = cli.run("schemas", "try", "--subscription", "billing", *options)
    assert tried.code == 130
    assert "interrupted" in tried.err
    assert not as_json or (tried.json["interrupted"], tried.json["failures"]) == (True, [])


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interruption_before_the_first_event_says_nothing(
    cli: CommandLine, endpoint: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr("eventfabric.cli.schemas_typed.import_from", lambda _: signal.raise_signal(number))
    tried = cli.run("schemas", "try", "--subscription", "billing", "--endpoint-url", endpoint)
    assert (tried.code, tried.out, tried.err) == (130, "", "")


def test_an_interruption_is_not_taken_for_a_stream_without_events(
    cli: CommandLine, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "eventfabric.typed.newest.newest_events", lambda *_, **__: map(signal.raise_signal, [signal.SIGTERM])
    )
    tried = cli.run("schemas", "try", "--stream", "orders", "--endpoint-url", endpoint)
    assert (tried.code, tried.out, "no such event" in tried.err) == (130, "", False)
