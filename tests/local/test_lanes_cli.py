"""`eventfabric lanes` mends a lane, step by step as the runbook says, on a fabric that runs as a server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from eventfabric import Fabric
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import read_definition
from eventfabric.model import Lane, SequenceNumber
from eventfabric.ports import Log
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.topology import Topology
from tests.support.command_line import CommandLine, local_up

REGION = "us-east-1"
FAR = 1 << 40
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{REGION}"]
[streams.orders]
lanes = 1
durability = "regional"
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    definition = tmp_path / "fabric.toml"
    definition.write_text(DEFINITION)
    with local_up(tmp_path, "--no-deliver", "--definition", str(definition)) as url:
        yield "--definition", str(definition), "--endpoint-url", url


def publish(server: tuple[str, ...], *ids: str) -> list[int]:
    """Publish by a process that remembers nothing of the lane; where the events stand."""
    producer = Fabric.from_definition(server[1], region=REGION, endpoint_url=server[-1])
    return [producer.publish("orders", key="a", type="Placed", id=id_).sequence for id_ in ids]


def log_of(server: tuple[str, ...]) -> tuple[Log, Lane]:
    topology = Topology(read_definition(Path(server[1])))
    stream = topology.stream("orders")
    return aws_ports(topology, Clients(REGION, endpoint_url=server[-1])).log_of(stream), lanes_of(stream)[0]


def test_a_far_tail_is_found_set_aside_on_record_and_gone(cli: CommandLine, server: tuple[str, ...]) -> None:
    assert publish(server, "1", "2") == [0, 1]
    log, lane = log_of(server)
    (first, _) = log.read(lane, SequenceNumber(0), records_max=2).records
    log.append(replace(first, sequence=SequenceNumber(FAR)))
    assert publish(server, "3") == [2]

    run = cli.run("reconcile", *server, "--json")
    assert [(finding["kind"], finding["sequence"]) for finding in run.json["findings"]] == [("far_tail", FAR)]
    place = f"{run.json['findings'][0]['lane']}@{FAR}"

    would = cli.run("lanes", "quarantine", "orders", place, "--dry-run", "--json", *server)
    assert (would.code, would.json["set_aside"], would.json["place"]) == (0, False, place)
    assert cli.run("lanes", "mended", "orders", "--json", *server).json["mended"] == []

    done = cli.run("lanes", "quarantine", "orders", place, "--reason", "a script's mistake", *server)
    assert (done.code, "is set aside" in done.out) == (0, True)
    (listed,) = cli.run("lanes", "mended", "orders", "--json", *server).json["mended"]
    assert (listed["place"], listed["why"].endswith("a script's mistake"), bool(listed["by"])) == (
        place,
        True,
        True,
    )
    assert cli.run("reconcile", *server, "--json").json["findings"] == []
    assert [finding["sequence"] for finding in cli.run("prove", *server, "--json").json["mended"]] == [FAR]
    assert publish(server, "4") == [3]


def test_what_is_the_lanes_own_is_refused_in_one_line(cli: CommandLine, server: tuple[str, ...]) -> None:
    publish(server, "1")
    _, lane = log_of(server)
    output = cli.refused("lanes", "quarantine", "orders", f"{lane}@0", *server, code=2)
    assert "the lane's own" in output
    assert "LANE@SEQUENCE" in cli.refused("lanes", "quarantine", "orders", "nonsense", *server, code=2)


def copied_table(server: tuple[str, ...], name: str) -> Any:
    """Restore the stream's table to now, under a name; the client that did so."""
    client = Clients(REGION, endpoint_url=server[-1]).dynamodb
    client.create_table(
        TableName=name,
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for item in client.scan(TableName="shop-orders")["Items"]:
        client.put_item(TableName=name, Item=cast(Any, item))
    return client


def test_a_lost_record_comes_back_from_a_table_restored_to_a_point_in_time(
    cli: CommandLine, server: tuple[str, ...]
) -> None:
    publish(server, "1", "2", "3")
    client = copied_table(server, "shop-orders-restored")
    log, lane = log_of(server)
    before = log.read(lane, SequenceNumber(0), records_max=9).records
    client.delete_item(TableName="shop-orders", Key={"pk": {"S": str(lane)}, "sk": {"N": "1"}})
    restore = (
        "lanes",
        "restore",
        "orders",
        str(lane),
        "--sequence",
        "1",
        "--from-table",
        "shop-orders-restored",
    )
    would = cli.run(*restore, "--dry-run", "--json", *server)
    assert (would.code, would.json["restored"], would.json["events"]) == (0, False, 1)
    done = cli.run(*restore, "--reason", "a script's mistake", *server)
    assert (done.code, "is restored" in done.out) == (0, True)
    assert log.read(lane, SequenceNumber(0), records_max=9).records == before
    (listed,) = cli.run("lanes", "mended", "orders", "--json", *server).json["mended"]
    assert (listed["what"], listed["place"]) == ("restored", f"{lane}@1")
    assert [finding["what"] for finding in cli.run("prove", *server, "--json").json["mended"]] == ["restored"]
    assert "stands there" in cli.refused(*restore, *server, code=2)
    assert "no record" in cli.refused(*restore[:5], "9", *restore[6:], *server, code=2)
    assert "one of --from-table, --from-export and --from-region" in cli.refused(
        *restore[:6], *server, code=2
    )
    missing = (*restore[:7], "shop-orders-gone")
    cli.refused(*missing, *server, code=3)
