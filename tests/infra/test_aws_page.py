"""The table of docs/aws.md, of the resources that a fabric has in a Region by its size: it holds for the templates."""

import re
from pathlib import Path
from typing import Final

from eventfabric.definition.file import parse_definition
from eventfabric.deployment.alarms import alarms_of, alarms_of_subscription
from eventfabric.deployment.concurrency import reserve_of
from eventfabric.topology import Topology
from infra.app import ROOT
from tests.infra.synthesis import Synthesised

SIZES: Final = {"small": (1, 10, 2), "medium": (3, 33, 2), "large": (10, 100, 4)}
"""Streams, subscriptions and Regions of a fabric."""
REGIONS: Final = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1")
HELPERS: Final = 3
"""Functions of a Region that serve deployments alone."""
OF_LOGS: Final = 1
"""Function that serves deployments of the tables, which are deployed from the home Region here."""


def topology_of(streams: int, subscriptions: int, regions: int, *, alarms: str = "few") -> Topology:
    listed = ", ".join(f'"{region}"' for region in REGIONS[:regions])
    return Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nregions = [{listed}]\nalarms = "{alarms}"\n'
            + "".join(f"[streams.s{number}]\n" for number in range(streams))
            + "".join(
                f'[subscriptions.c{number}]\nstream = "s{number % streams}"\nhandler = "a.b:c"\n'
                for number in range(subscriptions)
            )
        )
    )


def counts_of(topology: Topology) -> dict[str, int]:
    """Count what the home Region has. Roles and policies are of the account, so of all Regions together."""
    region = topology.home
    functions, subscriptions = (
        len(topology.functions(region)) + HELPERS + OF_LOGS,
        len(topology.subscriptions_in(region)),
    )
    watches = sum(
        bool(alarms_of_subscription(topology, subscription, region))
        for subscription in topology.subscriptions_in(region)
    )
    return {
        "functions": functions,
        "queues": 2 * subscriptions + 4,
        "stacks": subscriptions + watches + 4,
        "roles": sum(len(topology.functions(name)) + HELPERS + 2 for name in topology.regions) + OF_LOGS,
        "policies": 2 * len(topology.streams),
        "reserved": reserve_of(topology.definition, region).total,
        "alarms": len(alarms_of(topology, region)),
    }


def table_of(page: Path) -> dict[str, dict[str, int]]:
    """Read the numbers of the page's table, by size and by the first word of the row."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", page.read_text(), re.MULTILINE)
    return {
        size: {row[0]: int(row[place].replace(",", "")) for row in rows}
        for place, size in enumerate(SIZES, 1)
    }


ROWS: Final = {
    "functions, and log groups": "functions",
    "queues": "queues",
    "stacks": "stacks",
    "roles, of all Regions": "roles",
    "managed policies, of all Regions": "policies",
    "reserved concurrent invocations": "reserved",
    "alarms": "alarms",
}


def test_the_table_has_what_a_fabric_of_that_size_has() -> None:
    table = table_of(ROOT / "docs" / "aws.md")
    for size, shape in SIZES.items():
        counts = counts_of(topology_of(*shape))
        every = len(alarms_of(topology_of(*shape, alarms="all"), REGIONS[0]))
        assert table[size] == {
            **{row: counts[kind] for row, kind in ROWS.items()},
            'alarms, with `alarms = "all"`': every,
        }


def test_the_counts_are_those_of_the_templates(shop: Synthesised) -> None:
    home = shop.topology.home
    in_home = {
        kind: sum(len(shop.properties(resource, stack=stack)) for stack in shop.templates if home in stack)
        for kind, resource in {
            "functions": "AWS::Lambda::Function",
            "queues": "AWS::SQS::Queue",
            "policies": "AWS::IAM::ManagedPolicy",
            "alarms": "AWS::CloudWatch::Alarm",
        }.items()
    }
    assert counts_of(shop.topology) == {
        **in_home,
        "stacks": sum(home in stack for stack in shop.templates),
        "roles": len(shop.properties("AWS::IAM::Role")),
        "reserved": sum(
            properties.get("ReservedConcurrentExecutions", 0)
            for stack in shop.templates
            if home in stack
            for properties in shop.properties("AWS::Lambda::Function", stack=stack)
        ),
    }
