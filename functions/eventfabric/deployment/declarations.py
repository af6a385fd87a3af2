"""Declarations: what a stack asks of the catalogue's function when it is deployed, and what that function may do.

A request holds all that the stack deploys, as a definition of its own: the function may run with the definition of
another deployment, and a stack that rolls back asks again with what it asked before.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from eventfabric.definition.functions import FunctionSettings
from eventfabric.definition.schema import Definition, Stream, Subscription, to_json
from eventfabric.definition.sections import Breaker, Retry
from eventfabric.deployment.permissions import EVERYWHERE, Resource, Statement, dynamodb, table, use_key
from eventfabric.formats import OWN_FORMATS
from eventfabric.resources import OF_CELL, OF_LOG, OF_SUBSCRIPTION, TableTopology
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology
from eventfabric.version import VERSION


def asked_of_log(
    topology: Topology,
    tables: Iterable[TableTopology],
    *,
    again: str = "",
    schemas: Mapping[str, str] | None = None,
) -> str:
    """Return what the stack of these tables asks. `again`: another text has it asked anew, of a restored table.

    `schemas`: digests of the schemas in the functions' zip, by stream. They are checked here, before any Region's cell
    is deployed; the cell that registers them may be a later one.
    """
    names = {own.name for own in tables}
    streams = [stream for stream in topology.streams.values() if stream.table.name in names]
    checked = {own.name: schemas[own.name] for own in streams if schemas and own.name in schemas}
    return _asked(OF_LOG, _part(topology, streams), again=again, schemas=checked)


def asked_of_cell(
    topology: Topology, region: str, *, again: str = "", schemas: Mapping[str, str] | None = None
) -> str:
    """Return what the cell of a Region asks, with the names of the subscriptions there.

    `schemas`: digests of the schemas in the functions' zip, by stream. A stream's are registered in its first Region.
    """
    names = [own.name for own in topology.subscriptions_in(region)]
    streams = topology.streams_in(region)
    registered = {
        stream.name: schemas[stream.name]
        for stream in streams
        if schemas and stream.name in schemas and stream.definition.regions[0] == region
    }
    return _asked(OF_CELL, _part(topology, streams), names=names, again=again, schemas=registered)


def asked_of_subscription(topology: Topology, subscription: SubscriptionTopology, *, again: str = "") -> str:
    """Return what the stack of a subscription asks."""
    stream = topology.stream(subscription.definition.stream)
    own = replace(
        subscription.definition,
        function=FunctionSettings(),
        tables=None,
        slo=None,
        retry=Retry(),
        breaker=Breaker(),
    )
    return _asked(OF_SUBSCRIPTION, _part(topology, [stream], {own.name: own}), again=again)


def of_catalogue(topology: Topology, region: str) -> list[Statement]:
    """Permissions of the function of a cell, which checks and declares for all that is deployed in the Region."""
    stacks = [
        topology.stack_name("cell", region),
        topology.stack_name("subscription", region, subscription="*"),
    ]
    declare = Statement(
        "declare what is deployed in the Region",
        dynamodb("PutItem"),
        (_logs(topology, region),),
        leading_keys=(f"@{region}/*",),
        wildcard=_GONE,
    )
    tables_here = tuple(table(stream.table, region) for stream in topology.streams_in(region))
    lanes = Statement("see which lanes are in use", dynamodb("Query"), tables_here)
    return [*_of_check(topology, region, stacks), lanes, declare, use_key(topology, [region])]


def of_log_catalogue(topology: Topology, tables: Iterable[TableTopology], region: str) -> list[Statement]:
    """Permissions of the function of a stack of tables, which looks at all that a Region that goes leaves behind.

    It does that in all Regions, because the Region that goes is not in the definition any more.
    """
    names = {own.name for own in tables}
    streams = [stream for stream in topology.streams.values() if stream.table.name in names]
    alike: dict[str, list[str]] = {}
    for stream in streams:
        alike.setdefault(topology.ledger_of(stream.name).name, []).append(f"{stream.name}/*")
    left = [
        Statement(
            "see what is left for subscriptions",
            dynamodb("Query"),
            (Resource("dynamodb", EVERYWHERE, f"table/{ledger}"),),
            leading_keys=tuple(keys),
            wildcard=_GOES,
        )
        for ledger, keys in alike.items()
    ]
    tables_of = tuple(table(stream.table, EVERYWHERE) for stream in streams)
    lanes = Statement(
        "see which lanes are in use, also those of Regions that go",
        dynamodb("Query"),
        tables_of,
        wildcard=_GOES,
    )
    checked = _of_check(topology, region, [topology.stack_name("log", region)])
    return [*checked, lanes, *left, use_key(topology, [EVERYWHERE])]


_GOES: Final = "A Region that goes is not in the definition any more, and is asked what is left in it."
_GONE: Final = (
    "A stream that has left the definition is named nowhere, and what is declared of it is looked at."
)


def _of_check(topology: Topology, region: str, stacks: Iterable[str]) -> list[Statement]:
    return [
        Statement(
            "read what is declared",
            dynamodb("Query"),
            (_logs(topology, region),),
            leading_keys=("@*",),
            wildcard=_GONE,
        ),
        Statement(
            "see if a stack rolls back",
            ("cloudformation:DescribeStacks",),
            tuple(Resource("cloudformation", region, f"stack/{name}/*") for name in stacks),
            wildcard="CloudFormation gives stacks their ids, and each subscription has a stack of its own.",
        ),
    ]


def _logs(topology: Topology, region: str) -> Resource:
    return Resource("dynamodb", region, f"table/{topology.fabric}-*")


def _part(
    topology: Topology,
    streams: Iterable[StreamTopology],
    subscriptions: Mapping[str, Subscription] | None = None,
) -> Definition:
    """Return the part of the definition that is about these, without what no declaration says."""
    fabric = replace(topology.definition.fabric, alarm_actions=())
    own: dict[str, Stream] = {stream.name: stream.definition for stream in streams}
    return Definition(fabric=fabric, streams=own, subscriptions=dict(subscriptions or {}))


def _asked(
    of: str,
    part: Definition,
    *,
    names: Iterable[str] = (),
    again: str,
    schemas: Mapping[str, str] | None = None,
) -> str:
    asked: dict[str, object] = {
        "of": of,
        "definition": json.loads(to_json(part)),
        "subscriptions": list(names),
        "version": VERSION,
        "reads_max": OWN_FORMATS.reads,
        "writes": OWN_FORMATS.writes,
        "again": again,
    }
    if schemas:
        asked["schemas"] = schemas
    return json.dumps(asked, sort_keys=True, separators=(",", ":"))
