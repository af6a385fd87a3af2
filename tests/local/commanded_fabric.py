"""A shop whose fabric runs as a server, for the command line; its deliveries are made, and fail, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest

from eventfabric import Fabric as Producer
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import read_definition
from eventfabric.model import ANY_TAIL, Doorbell, Lane, LaneKey, Settled, StreamName, SubscriptionName
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.telemetry import NoTelemetry
from eventfabric.topology import Topology
from tests.support.command_line import CommandLine, Ran, local_up
from tests.support.failing_handlers import BAD_ORDER, Failing
from tests.support.recording_handler import Recorder

US, EU = "us-east-1", "eu-west-1"
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{US}", "{EU}"]
[streams.orders]
express = false
lanes = 1
regions = ["{US}"]
durability = "regional"
[streams.wide]
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
retry.permanent = ["{BAD_ORDER}", "builtins:KeyError"]
[subscriptions.audit]
stream = "orders"
handler = "subscribers.billing:charge"
[subscriptions.everywhere]
stream = "wide"
handler = "subscribers.billing:charge"
"""
LANE = Lane.parse(f"{US}/0.0")


class Server:
    """A fabric that runs, and clients of it: they take long to make."""

    def __init__(self, definition: Path, url: str) -> None:
        self.options = ("--definition", str(definition), "--endpoint-url", url)
        self.topology = Topology(read_definition(definition))
        session = boto3.Session("local", "local", region_name=US)
        self.clients = {region: Clients(region, session=session, endpoint_url=url) for region in (US, EU)}
        self.ports = aws_ports(self.topology, self.clients[US])
        self.producer = Producer.from_definition(definition, region=US, session=session, endpoint_url=url)


@dataclass
class CommandedFabric:
    """A fabric for commands, whose billing is delivered to a handler that fails at some events."""

    cli: CommandLine
    server: Server
    failing: Failing = field(default_factory=lambda: Failing({}))

    def __post_init__(self) -> None:
        self.options, self.topology, self.ports = self.server.options, self.server.topology, self.server.ports
        self.letters = Operations(self.topology, US, self.ports).dead_letters("billing")
        self.recorder = Recorder(before=self.failing)
        self.key = LaneKey(StreamName("orders"), SubscriptionName("billing"), LANE)

    def run(self, *arguments: str | Path) -> Ran:
        return self.cli.run("dead-letters", *arguments, *self.options)

    def refused(self, *arguments: str | Path, code: int) -> str:
        """The complaint of a command that must not change anything, on one line."""
        before = self.everything()
        complaint = self.cli.refused(*arguments, *self.options, code=code)
        assert self.everything() == before
        return " ".join(complaint.replace("│", " ").split())

    def publish(self, *names: str, type: str = "Placed") -> list[str]:
        """Publish `a1`, `b1` of keys `a`, `b`; where they stand."""
        receipts = [
            self.server.producer.publish("orders", id=name, key=name[0], type=type, data={"name": name})
            for name in names
        ]
        return [f"{receipt.lane}@{receipt.sequence}" for receipt in receipts]

    def deliver(self) -> None:
        """A lane run of billing."""
        deliverer = Deliverer(
            self.topology.subscription("billing"),
            self.topology.stream("orders"),
            ports=self.ports,
            handler=self.recorder,
            telemetry=NoTelemetry(),
        )
        bell = Doorbell(self.key.stream, LANE, ANY_TAIL)
        assert deliverer.deliver(bell, deadline_ms=self.ports.clock.now_ms() + 60_000).done

    def dead(self, *dead: str, behind: tuple[str, ...] = (), type: str = "Placed") -> list[str]:
        """Publish these and have billing fail at them, with others behind them, once; where they stand."""
        places = self.publish(*dead, type=type)
        self.publish(*behind)
        self.failing.times.update(dict.fromkeys(dead, 1))
        self.deliver()
        assert {letter.place for letter in self.letters.find()} >= set(places)
        return places

    def everything(self) -> list[object]:
        """Return all items of the ledger in each Region, and the number of doorbells in each queue."""
        contents: list[object] = []
        for clients in self.server.clients.values():
            items = clients.dynamodb.scan(TableName="shop-ledger")["Items"]
            contents.append(sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"])))
            for url in clients.sqs.list_queues().get("QueueUrls", []):
                attributes = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
                    "Attributes"
                ]
                contents.append((url, attributes["ApproximateNumberOfMessages"]))
        return contents

    def settled(self, place: str) -> Settled:
        """Return the decision about the event at that place."""
        sequence = int(place.partition("@")[2])
        return next(
            decision for decision in self.ports.ledger.settled(self.key) if decision.sequence == sequence
        )


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """A server until the block ends."""
    definition = folder / "fabric.toml"
    definition.write_text(DEFINITION)
    with local_up(folder, "--no-deliver", "--definition", str(definition)) as url:
        yield Server(definition, url)


@contextmanager
def opened(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandedFabric]:
    """A shop without dead letters, and without any afterwards."""
    shop = CommandedFabric(CommandLine(capsys, monkeypatch), server)
    yield shop
    shop.failing.times.clear()
    for letter in list(shop.letters.find()):
        shop.letters.discard(letter)
    shop.deliver()
    assert list(shop.letters.find()) == []
