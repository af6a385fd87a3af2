"""`eventfabric prove` against a fabric that runs as a server; its lanes are delivered, and tampered with, by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from eventfabric import Fabric, Operations
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import read_definition
from eventfabric.model import (
    Cursor,
    Failure,
    Lane,
    LaneKey,
    Parked,
    ParkedChange,
    ParkedState,
    Place,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    lane_index,
)
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.topology import Topology
from tests.support.command_line import CommandLine, local_up
from tests.support.messages import TextWith, missing_from

REGION = "us-east-1"
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{REGION}"]
[streams.orders]
lanes = 2
durability = "regional"
[streams.other]
lanes = 2
durability = "regional"
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
[subscriptions.audit]
stream = "orders"
handler = "subscribers.billing:charge"
[subscriptions.elsewhere]
stream = "other"
handler = "subscribers.billing:charge"
"""
# Keys whose events are of lane 0, and of lane 1.
KEYS = [next(k for k in "abcdefgh" if lane_index(k, 2) == index) for index in (0, 1)]
DEAD = Parked(
    f"k/{KEYS[0]}",
    KEYS[0],
    ParkedState.DEAD,
    (Place(SequenceNumber(2), SequenceNumber(2)),),
    0,
    Failure("shop:CardRefused", "", "", "", 8, 0, 5, 1_790_000_000_000),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Six events in each of two lanes. Billing handled them, all but one; audit those of one lane."""
    folder = tmp_path_factory.mktemp("server")
    definition = folder / "fabric.toml"
    definition.write_text(DEFINITION)
    with (
        local_up(folder, "--no-deliver", "--definition", str(definition)) as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        producer = Fabric.from_definition(definition, region=REGION, endpoint_url=url)
        for number in range(12):
            producer.publish("orders", key=KEYS[number % 2], type="Placed", id=f"e{number}")
        topology = Topology(read_definition(definition))
        ports = aws_ports(topology, Clients(REGION, endpoint_url=url))
        log, lanes = ports.log_of(topology.stream("orders")), lanes_of(topology.stream("orders"))

        def deliver(subscription: str, lane: Lane, *parked: ParkedChange) -> None:
            tail = log.tail(lane)
            key = LaneKey(StreamName("orders"), SubscriptionName(subscription), lane)
            read = ports.ledger.state(key).cursor(ports.ledger.region)
            ports.ledger.commit(key, read, Cursor(tail.sequence, tail.sequence, tail.chain), parked=parked)

        deliver("billing", lanes[0], ParkedChange(None, DEAD))
        deliver("billing", lanes[1])
        deliver("audit", lanes[1])
        yield "--definition", str(definition), "--endpoint-url", url


@contextmanager
def tampered(
    server: tuple[str, ...], lane: str, sequence: int, **changes: dict[str, Any] | None
) -> Iterator[None]:
    """A record with other attributes, or without any left, until the block ends."""
    table = boto3.Session("local", "local", region_name=REGION).client("dynamodb", endpoint_url=server[-1])
    key = {"pk": {"S": lane}, "sk": {"N": str(sequence)}}
    item = table.get_item(TableName="shop-orders", Key=key)["Item"]
    if changes:
        table.put_item(TableName="shop-orders", Item={**item, **changes})
    else:
        table.delete_item(TableName="shop-orders", Key=key)
    try:
        yield
    finally:
        table.put_item(TableName="shop-orders", Item=item)


def test_all_is_proven_lane_by_lane_with_what_is_excepted(cli: CommandLine, server: tuple[str, ...]) -> None:
    result = cli.run("prove", *server, "--json")
    assert (result.code, result.json["region"], result.json["proven"]) == (0, REGION, True)
    shown = [
        (lane["subscription"], lane["lane"], lane["from"], lane["up_to"]) for lane in result.json["lanes"]
    ]
    assert shown == [
        ("billing", "us-east-1/0.0", 0, 6),
        ("billing", "us-east-1/0.1", 0, 6),
        ("audit", "us-east-1/0.1", 0, 6),
    ]
    assert [lane["exceptions"] for lane in result.json["lanes"]] == [
        [
            {
                "kind": "dead",
                "sequence": 2,
                "event": "e4",
                "key": KEYS[0],
                "why": "shop:CardRefused, 8 attempts",
                "at_ms": 1_790_000_000_000,
                "by": "",
                "events": 1,
            }
        ],
        [],
        [],
    ]


def test_in_words(cli: CommandLine, server: tuple[str, ...]) -> None:
    result = cli.run("prove", "billing", *server)
    assert result.code == 0
    *_, exception, total, declared = result.out.splitlines()
    assert declared == TextWith("@us-east-1/orders", "1 declarations proven")
    assert missing_from(total, "2 of 2 lanes", "12 events", "exceptions: 1") == []
    assert exception == TextWith(
        "billing us-east-1/0.0@2",
        "dead",
        "shop:CardRefused",
        "8 attempts",
        "2026-09-21T14:13:20Z",
        "event e4",
        f"key {KEYS[0]!r}",
    )


def test_one_subscription_one_stream_one_lane(cli: CommandLine, server: tuple[str, ...]) -> None:
    def lanes(*arguments: str) -> list[tuple[str, str]]:
        shown = cli.run("prove", *arguments, *server, "--json").json["lanes"]
        return [(lane["subscription"], lane["lane"]) for lane in shown]

    assert lanes("audit") == [("audit", "us-east-1/0.1")]
    assert lanes("--lane", "us-east-1/0.1") == [("billing", "us-east-1/0.1"), ("audit", "us-east-1/0.1")]
    assert lanes("--stream", "other") == lanes("elsewhere", "--region", REGION) == []
    assert len(lanes("--stream", "orders")) == 3
    nothing = cli.run("prove", "elsewhere", *server)
    assert nothing.code == 0
    assert nothing.out.startswith("nothing to prove: ")


def test_a_tampered_log_is_not_proven_and_the_others_are(cli: CommandLine, server: tuple[str, ...]) -> None:
    with tampered(server, "us-east-1/0.0", 3, t={"SS": ["Other"]}):
        result = cli.run("prove", *server, "--json")
    assert (result.code, result.json["proven"]) == (1, False)
    first, *others = result.json["lanes"]
    assert (first["proven"], first["events"], first["wrong"]["kind"], first["wrong"]["sequence"]) == (
        False,
        0,
        "divergence",
        3,
    )
    assert all(other["proven"] for other in others)
    with tampered(server, "us-east-1/0.1", 4):
        result = cli.run("prove", *server)
    assert result.code == 1
    assert "1 of 3 lanes proven" in result.out
    assert missing_from(" ".join(result.out.split()), "no, hole at 4", "missing", "at 5") == []
    assert cli.run("prove", *server).code == 0


def test_what_is_declared_is_proven_as_well(cli: CommandLine, server: tuple[str, ...]) -> None:
    result = cli.run("prove", *server, "--json")
    shown = [(lane["lane"], lane["proven"], lane["up_to"]) for lane in result.json["declarations"]]
    assert shown == [("@us-east-1/orders", True, 1), ("@us-east-1/other", True, 1)]
    with tampered(server, "@us-east-1/orders", 0, t={"SS": ["Other"]}):
        result = cli.run("prove", *server, "--json")
        of_a_lane = cli.run("prove", "--lane", "us-east-1/0.1", *server, "--json")
    assert (result.code, result.json["proven"]) == (1, False)
    assert [lane["wrong"] and lane["wrong"]["kind"] for lane in result.json["declarations"]] == [
        "divergence",
        None,
    ]
    assert (of_a_lane.code, of_a_lane.json["declarations"]) == (0, [])


def test_from_python(cli: CommandLine, server: tuple[str, ...]) -> None:
    operations = Operations.from_definition(server[1], region=REGION, endpoint_url=server[-1])
    assert [proof.is_proven for proof in operations.prove()] == [True, True, True]
    provers = operations.provers("audit")
    assert [proof.end for prover in provers for proof in prover.declarations()] == [1]
    (proof,) = operations.prove("audit", lane="us-east-1/0.1")
    assert (proof.events, proof.exceptions) == (6, ())


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("nobody",), ["no subscription", "'nobody'", "audit, billing, elsewhere"]),
        (("--stream", "returns"), ["no stream", "'returns'"]),
        (("billing", "--stream", "other"), ["stream", "'other'", "allowed: orders", "billing"]),
        (("--lane", "0.1"), ["lane", "'0.1'", "<origin>/<generation>.<index>"]),
        (("--lane", "us-east-1/0.2"), ["lane", "'us-east-1/0.2'", "us-east-1/0.0 to us-east-1/0.1"]),
        (("--region", "mars-1"), ["fabric shop", "not in Region mars-1"]),
    ],
)
def test_wrong_input_is_refused(
    cli: CommandLine, server: tuple[str, ...], arguments: tuple[str, ...], facts: list[str]
) -> None:
    assert missing_from(cli.refused("prove", *arguments, *server, code=2), *facts) == []


def test_help_has_an_example(cli: CommandLine) -> None:
    result = cli.run("prove", "--help")
    assert result.code == 0
    assert "Example: eventfabric prove billing" in result.out
