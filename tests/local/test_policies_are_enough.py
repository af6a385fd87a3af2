"""Every verb of the SDK and of the command line runs under the policy that the deployment makes for who uses it."""

import json
from asyncio import run
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from eventfabric import Delivery, Event, Fabric, Operations
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.cli.main import app
from eventfabric.definition.file import read_definition
from eventfabric.deployment.people import operator, publisher
from eventfabric.deployment.permissions import Statement
from eventfabric.errors import UnconfirmedAppendError
from eventfabric.formats import Formats
from eventfabric.model import ANY_TAIL, Doorbell, SequenceNumber, StreamName
from eventfabric.sdk.asynchronous import AsyncFabric
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.testing.local.clock import RunningClock
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.guard import acting
from eventfabric.wire.doorbell import to_body
from tests.support.command_line import CommandLine, Ran, copy_table

US, EU = "us-east-1", "eu-west-1"
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{US}", "{EU}"]
[streams.orders]
lanes = 1
[streams.near]
lanes = 1
regions = ["{US}"]
durability = "regional"
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
retry = {{ immediate = 0, attempts = 2, permanent = ["builtins:ValueError"] }}
[subscriptions.audit]
stream = "orders"
handler = "subscribers.billing:charge"
backpressure = {{ events_min = 1000 }}
[subscriptions.nearby]
stream = "near"
handler = "subscribers.billing:charge"
"""
USES_NO_TABLE = {
    *("cost", "definition check", "definition schema", "local up", "new", "check", "simulate"),
    *("schemas from", "schemas types"),
    # They run the CDK's command line, with the deployer's own rights.
    *("bootstrap", "synth", "diff", "deploy", "destroy"),
}


def charge(event: Event, delivery: Delivery) -> None:
    if event.type == "Poison":
        raise ValueError("poison")
    if event.type == "Doubt":
        with delivery.once("charge"):
            raise SystemExit


def nothing(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


class Guarded:
    """A local fabric, and clients of it that may do no more than a policy says, in whichever thread."""

    def __init__(self, fabric: LocalFabric, definition: Path, patch: pytest.MonkeyPatch) -> None:
        self.fabric, self.definition = fabric, definition
        self.allowed: list[Statement] = []
        made = Clients.__init__

        def watched(clients: Clients, *arguments: Any, **settings: Any) -> None:
            made(clients, *arguments, **settings)
            for client in (clients.dynamodb, clients.sqs):
                fabric.guard.watch(client, self.allowed)

        patch.setattr(Clients, "__init__", watched)

    def produce(self, **settings: Any) -> Fabric:
        """A producer of orders, connected as any."""
        topology = self.fabric.topology
        self.allowed = publisher(topology, topology.stream("orders"))
        return Fabric.from_definition(self.definition, region=US, **settings)

    def operate(self, streams: Iterable[str] = ("orders",)) -> None:
        """Have the command line run by an operator of these streams."""
        topology = self.fabric.topology
        self.allowed = [
            statement for name in streams for statement in operator(topology, topology.stream(name))
        ]

    @property
    def denied(self) -> list[str]:
        return list(self.fabric.guard.denied)


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    for name, value in (("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")):
        monkeypatch.setenv(name, value)
    definition = tmp_path / "fabric.toml"
    definition.write_text(DEFINITION)
    handlers = {"billing": charge, "audit": nothing, "nearby": nothing}
    with LocalFabric(read_definition(definition), handlers=handlers, clock=RunningClock()) as fabric:
        yield Guarded(fabric, definition, monkeypatch)


def test_two_regions_confirm_whatever_form_of_publishing_asks_them_to(guarded: Guarded) -> None:
    producer = guarded.produce()
    event = Event(key="a", type="Placed")
    assert producer.publish("orders", key="a", type="Placed", acks=2).sequence == 0
    assert [receipt.sequence for receipt in producer.publish_many("orders", [event, event], acks=2)] == [1, 2]
    with producer.publisher("orders", acks=2) as publishing:
        pending = publishing.publish(key="a", type="Placed")
    assert pending.result().sequence == 3
    assert run(AsyncFabric(producer).publish("orders", key="a", type="Placed", acks=2)).sequence == 4

    log = guarded.fabric.ports(EU).log_of(guarded.fabric.topology.stream("orders"))
    lane = next(lane for lane in lanes_of(guarded.fabric.topology.stream("orders")) if lane.origin == US)
    assert log.tail(lane).sequence == 5
    assert guarded.denied == []


def test_what_no_second_region_confirmed_is_confirmed_by_publishing_it_again(guarded: Guarded) -> None:
    producer = guarded.produce()
    allowed = guarded.allowed
    fabric = guarded.fabric
    fabric.faults.stop(EU)
    with acting(allowed), pytest.raises(UnconfirmedAppendError) as unconfirmed:
        fabric.region(US).publish("orders", key="a", type="Placed", acks=2)
    (receipt,) = producer.publish_again(unconfirmed.value)
    assert (receipt.sequence, guarded.denied) == (0, [])


def test_a_producer_goes_to_another_region_and_settles_there_what_had_no_reply(guarded: Guarded) -> None:
    producer = guarded.produce(failover=[EU])
    assert producer.publish("orders", key="a", type="Placed").lane.origin == US
    fabric = guarded.fabric
    fabric.faults.stop(US)
    with acting(guarded.allowed):
        away = fabric.region(US, failover=[EU])
        receipt = away.publish("orders", key="a", type="Placed", acks=1)
    assert receipt.lane.origin == EU
    assert guarded.denied == []


class Operator:
    """Runs commands, and remembers which."""

    def __init__(self, cli: CommandLine, guarded: Guarded) -> None:
        self._cli, self._guarded = cli, guarded
        self.ran: set[str] = set()

    def __call__(self, *words: str, code: int = 0) -> Ran:
        where = ("--definition", str(self._guarded.definition))
        result = self._cli.run(*words, *where)
        assert result.code == code, (words, result.err)
        assert self._guarded.denied == [], words
        self.ran |= {" ".join(words[:2]), words[0]}
        return result


def commands(command: Any, *before: str) -> Iterator[str]:
    """Every command that does something, by its words."""
    below = getattr(command, "commands", {})
    if before and (not below or command.invoke_without_command):
        yield " ".join(before)
    for name, subcommand in below.items():
        yield from commands(subcommand, *before, name)


def test_every_command_runs_under_the_policies_of_who_publishes_and_who_operates(
    guarded: Guarded, cli: CommandLine, tmp_path: Path
) -> None:
    does = Operator(cli, guarded)
    publish(guarded, does, tmp_path)
    guarded.operate()
    backfill(does)
    guarded.fabric.settle(timers=True)
    decide(does, tmp_path)
    look_and_mend(guarded, does)
    rule_subscriptions(guarded, does)
    keep_schemas(guarded, does)
    # A stream that is in one Region alone is nobody's business in another.
    guarded.operate(("orders", "near"))
    does("failover", "--from", US, "--to", EU, "--dry-run")
    does("failover", "--from", US, "--to", EU, "--no-drain", "--yes")
    guarded.fabric.settle(timers=True)
    does("failback", US, "--no-drain", "--yes")
    split(does)

    every = set(commands(typer.main.get_command(app)))
    assert every - does.ran == USES_NO_TABLE


def publish(guarded: Guarded, does: Operator, folder: Path) -> None:
    """Publish, one by one and from a file, what is delivered, what fails and what ends in doubt."""
    topology = guarded.fabric.topology
    guarded.allowed = publisher(topology, topology.stream("orders"))
    does("publish", "orders", "--key", "p", "--type", "Poison", "--region", US)
    events = folder / "events.jsonl"
    kinds = ("Placed", "Poison", "Poison", "Doubt", "Placed")
    events.write_text(
        "\n".join(
            json.dumps(
                {"specversion": "1.0", "id": f"e{n}", "source": "/s", "type": kind, "subject": f"k{n}"}
            )
            for n, kind in enumerate(kinds)
        )
    )
    does("publish", "orders", "--events", str(events), "--region", US)


def backfill(does: Operator) -> None:
    """Copy what a Region lacks, before anything is replicated."""
    arguments = ("--stream", "orders", "--from", US, "--to", EU)
    does("backfill", *arguments, "--dry-run")
    done = does("backfill", *arguments, "--json").json
    does("backfill", "cancel", done["backfill"])
    does("backfill", "show", done["backfill"])
    does("backfill", "show", "--region", EU)
    does("backfill", "resume", done["backfill"])


def decide(does: Operator, folder: Path) -> None:
    """Decide about three dead letters and a step in doubt."""
    letters = does("dead-letters", "list", "billing", "--json", "--region", US).json
    places = [letter["place"] for letter in letters]
    does("parked", "list", "billing", "--region", US)
    does("dead-letters", "show", "billing", places[0], "--region", US)
    does("dead-letters", "export", "billing", "--region", US)
    edited = folder / "edited.json"
    edited.write_text(
        json.dumps({"specversion": "1.0", "id": "x", "source": "/s", "type": "Placed", "subject": "p"})
    )
    does("dead-letters", "redrive", "billing", places[0], "--dry-run", "--region", US)
    does("dead-letters", "discard", "billing", places[1], "--region", US)
    does("dead-letters", "discard", "billing", places[2], "--all-waiting", "--region", US)
    does("dead-letters", "redrive", "billing", places[0], "--region", US)
    does("steps", "show", "billing", "e3", "charge", "--source", "/s", "--region", US)
    does("steps", "settle", "billing", "e3", "charge", "--done", "--source", "/s", "--region", US)


def look_and_mend(guarded: Guarded, does: Operator) -> None:
    """Look at lanes; set an item aside, put a record back, and go on without one."""
    fabric = guarded.fabric
    stream = fabric.topology.stream("orders")
    lane = next(lane for lane in lanes_of(stream) if lane.origin == US)
    does("show", f"{lane}@0", "--stream", "orders", "--region", US)
    does("show", "e1", "--stream", "orders", "--region", US)
    does("lanes", "--stream", "orders", "--ring", "--region", US)
    does("schemas", "try", "--stream", "orders", "--region", US)
    does("prove", "billing", "--region", US)
    for more in ((), ("--repair",), ("--full", "--repair")):
        does("reconcile", "--stream", "orders", *more, "--region", US)
    log = fabric.ports(US).log_of(stream)
    first = log.read(lane, SequenceNumber(0), records_max=1).records[0]
    log.append(replace(first, sequence=SequenceNumber(1 << 40)))
    does("lanes", "quarantine", "orders", f"{lane}@{1 << 40}", "--region", US)
    does("lanes", "mended", "orders", "--region", US)
    copy_table(fabric.client("dynamodb", US), "shop-orders", "shop-orders-restored")
    lose_first(fabric, str(lane), US)
    restored = ("orders", str(lane), "--sequence", "0", "--from-table", "shop-orders-restored")
    does("lanes", "restore", *restored, "--dry-run", "--region", US)
    does("lanes", "restore", *restored, "--region", US)
    lose_first(fabric, str(lane), US, EU)
    for more in (("--dry-run",), ("--reason", "no backup has it")):
        does("lanes", "skip", "orders", str(lane), "--sequence", "0", *more, "--region", US)


def split(does: Operator) -> None:
    """Split a lane, as if the stream required the format of seals; and look at what became of it."""
    lane = f"{US}/0.0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventfabric.services.operations.split.WITH_SEALS", Formats())
        does("lanes", "split", "near", lane, "--dry-run", "--region", US)
        does("lanes", "split", "near", lane, "--reason", "hot", "--yes", "--region", US)
        does("lanes", "split", "near", lane, "--yes", "--region", US, code=1)
    mended = does("lanes", "mended", "near", "--json", "--region", US).json["mended"]
    assert [(done["place"], done["what"]) for done in mended] == [(f"{lane}@0", "split")]
    does("lanes", "--stream", "near", "--region", US)


def keep_schemas(guarded: Guarded, does: Operator) -> None:
    """Check, register, show and take the schemas of a stream."""
    file = guarded.definition.parent / "schemas/orders/Placed.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"type": "object"}')
    does("schemas", "lint", "--region", US)
    guarded.operate(("orders", "near"))
    does("schemas", "check", "--region", US)
    guarded.operate()
    does("schemas", "push", "--region", US)
    does("schemas", "list", "orders", "--region", US)
    does("schemas", "show", "Placed", "--stream", "orders", "--region", US)
    does("schemas", "diff", "Placed", "--stream", "orders", "--region", US)
    does("schemas", "pull", "orders", "--region", US)


def rule_subscriptions(guarded: Guarded, does: Operator) -> None:
    """Pause, resume, replay; redrive a doorbell that no function could answer."""
    fabric = guarded.fabric
    guarded.operate(("orders", "near"))
    does("subscriptions", "list", "--region", US)
    does("declared", "--region", US)
    does("declared", "near", "--history", "--region", US)
    does("formats", "list", "--region", US)
    does("types", "list", "--region", US)
    does("types", "show", "Placed", "--stream", "orders", "--region", US, code=1)
    does("catalogue", "--observed", "--region", US, code=1)
    guarded.operate()
    does(
        "formats", "raise", "orders", "--reads", "2", "--yes", "--region", US, code=1
    )  # this version knows none
    does("subscriptions", "pause", "billing", "--region", US)
    does("subscriptions", "resume", "billing", "--region", US)
    fabric.settle()
    does("subscriptions", "replay", "audit", "--from", "0", "--region", US)
    does("subscriptions", "replay", "billing", "--from", "0", "--into", "audit", "--dry-run", "--region", US)
    does("subscriptions", "replay", "billing", "--from", "0", "--key", "k0", "--region", US)
    fabric.settle()
    kill_doorbell(fabric)
    does("queues", "redrive", "billing", "--dry-run", "--region", US)
    does("queues", "redrive", "billing", "--region", US)
    does("scale", "explain", "billing", "--for", "0", "--region", US)
    does("credits", "show", "orders", "--all", "--region", US)
    opened = does("credits", "open", "audit", "--for", "24h", "--yes", "--json", "--region", EU).json
    assert opened["opened"] == 1
    does("subscriptions", "retire", "audit", "--discard", "--yes", "--region", US)


def test_who_may_operate_every_stream_drains_a_region_and_hands_it_over_and_back(guarded: Guarded) -> None:
    fabric = guarded.fabric
    fabric.region(US).publish("orders", key="a", type="Placed")
    guarded.operate(("orders", "near"))
    for source, target in ((US, EU), (EU, US)):
        ports = aws_ports(fabric.topology, Clients(target), clock=fabric.clock)
        handover = Operations(fabric.topology, target, ports).failover(source)
        handover.drain(fabric.run_for)
        assert handover.hand_over()
        handover.release(fabric.run_for)
    assert guarded.denied == []


def lose_first(fabric: LocalFabric, lane: str, *regions: str) -> None:
    """Lose a lane's first record in these Regions."""
    for region in regions:
        fabric.client("dynamodb", region).delete_item(
            TableName="shop-orders", Key={"pk": {"S": lane}, "sk": {"N": "0"}}
        )


def kill_doorbell(fabric: LocalFabric) -> None:
    """Put a doorbell into the dead-letter queue of billing."""
    lane = lanes_of(fabric.topology.stream("orders"))[0]
    queue = fabric.topology.subscription("billing").queue
    client = fabric.client("sqs", US)
    client.send_message(
        QueueUrl=client.get_queue_url(QueueName=queue.dead_letter_name)["QueueUrl"],
        MessageBody=to_body(Doorbell(StreamName("orders"), lane, ANY_TAIL)),
        MessageGroupId=str(lane),
        MessageDeduplicationId="1",
    )
