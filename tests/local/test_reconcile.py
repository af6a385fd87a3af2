"""Reconciliation on the local fabric, by the function that is deployed, and by the command line."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.model.finding import FindingKind
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.wire.keys import is_declaration
from tests.local.test_failover import EU, US, definition, publish
from tests.support.command_line import CommandLine
from tests.support.messages import TextWith


def ignore(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


@pytest.fixture
def fabric() -> Iterator[LocalFabric]:
    with LocalFabric(definition(), handlers={"all": ignore, "near": ignore}) as fabric:
        publish(fabric, range(12))
        fabric.settle(timers=True)
        for region in (US, EU):
            assert fabric.operations(region).reconcile("orders", repair=True) == []
        yield fabric


def scanned(fabric: LocalFabric, region: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = fabric.client("dynamodb", region).scan(TableName="shop-orders")["Items"]
    of_lanes = [item for item in items if not is_declaration(item)]
    return sorted(of_lanes, key=lambda item: (item["pk"]["S"], int(item["sk"]["N"])))


def items(fabric: LocalFabric, region: str) -> list[dict[str, Any]]:
    """The records of the log, without the items that hold the places of lanes."""
    return [item for item in scanned(fabric, region) if int(item["sk"]["N"]) >= 0]


def places(fabric: LocalFabric, region: str) -> list[dict[str, Any]]:
    """The items that hold the places of lanes."""
    return [item for item in scanned(fabric, region) if item["sk"] == {"N": "-1"}]


def test_a_replica_gets_back_what_it_lost(fabric: LocalFabric) -> None:
    client = fabric.client("dynamodb", EU)
    lost = items(fabric, EU)[3]
    client.delete_item(TableName="shop-orders", Key={"pk": lost["pk"], "sk": lost["sk"]})
    fabric.settle()
    for _ in range(2):
        findings = fabric.operations(EU).reconcile("orders", repair=True, full=True)
        fabric.clock.advance(seconds=1_000)
    assert [(f.kind, f.is_repaired) for f in findings] == [(findings[0].kind, True)]
    assert findings[0].kind in (FindingKind.HOLE, FindingKind.REPLICATION_STALL)
    assert items(fabric, EU) == items(fabric, US)
    assert fabric.operations(EU).reconcile("orders", full=True) == []


def test_a_changed_record_stops_there_and_is_left_to_people(fabric: LocalFabric) -> None:
    client = fabric.client("dynamodb", EU)
    changed = items(fabric, EU)[2]
    client.put_item(TableName="shop-orders", Item={**changed, "d": items(fabric, EU)[0]["d"]})
    (finding,) = fabric.operations(EU).reconcile("orders", repair=True, full=True)
    assert (finding.kind, finding.is_alarm) == (FindingKind.DIVERGENCE, True)
    assert items(fabric, EU)[2]["d"] == items(fabric, EU)[0]["d"]


def test_a_cut_is_a_delay_and_then_a_stall_and_heals(fabric: LocalFabric) -> None:
    fabric.faults.cut(US, EU)
    publish(fabric, range(20, 24))
    fabric.settle()
    for kind in (FindingKind.REPLICATION_DELAY, FindingKind.REPLICATION_STALL):
        assert {finding.kind for finding in fabric.operations(EU).reconcile("orders")} == {kind}
        fabric.clock.advance(seconds=1_000)
    fabric.faults.heal()
    fabric.settle(timers=True)
    assert fabric.operations(EU).reconcile("orders") == []


def test_by_the_command_line(cli: CommandLine, endpoint: str, tmp_path: Path) -> None:
    options = ("--endpoint-url", endpoint)
    result = cli.run("reconcile", *options, "--json")
    assert (result.code, result.json) == (0, {"region": US, "findings": [], "alarms": 0})
    cli.run("publish", "orders", "--key", "a", "--type", "OrderPlaced", *options)
    assert cli.run("reconcile", "--stream", "orders", *options).out == TextWith(
        "0 findings", "0 repaired", "0 need a person"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--stream", "nothing"), "no stream is named 'nothing'"),
        (("--region", "mars-north-1"), "mars-north-1"),
    ],
    ids=["stream", "region"],
)
def test_wrong_input_is_refused(
    cli: CommandLine, endpoint: str, arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in cli.refused("reconcile", *arguments, "--endpoint-url", endpoint, code=2)


def test_the_place_of_a_quiet_lane_is_held_in_every_region_and_does_not_expire() -> None:
    day_seconds = 86_400
    streams = definition().streams
    kept = replace(streams["orders"], retention_days=1)
    defined = replace(definition(), streams={**streams, "orders": kept})
    with LocalFabric(defined, handlers={"all": ignore, "near": ignore}) as fabric:
        publish(fabric, range(12))
        fabric.settle(timers=True)
        fabric.operations(US).reconcile("orders", repair=True)
        before = items(fabric, US)
        assert places(fabric, US) == []
        fabric.clock.advance(seconds=0.6 * day_seconds)
        fabric.operations(US).reconcile("orders", repair=True)
        fabric.settle()
        assert items(fabric, US) == before
        held = places(fabric, US)
        assert [item["pk"] for item in held] == sorted(
            {item["pk"]["S"]: item["pk"] for item in before}.values(), key=lambda pk: pk["S"]
        )
        assert all("x" not in item for item in held)
        assert places(fabric, EU) == held
