"""Permissions of people and of producers, which are managed policies that are attached to their roles.

Each is one policy, complete in itself. It names no subscription, so it stays as it is when there is one more.
"""

from typing import Final

from eventfabric.deployment.permissions import (
    DECLARATIONS,
    EVERYWHERE,
    RING,
    TAKE,
    Resource,
    Statement,
    dynamodb,
    keep_backfills,
    lanes_of,
    look_at_lanes,
    queue,
    queues,
    read_log,
    table,
    use_key,
)
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology

_SAME_NAME: Final = "A table has the same name in each of its Regions."


def publisher(topology: Topology, stream: StreamTopology) -> list[Statement]:
    """Permissions of a producer: append in each Region, confirm there what another Region has, read the log, ring.

    A confirmation (`acks=2`) writes a record of another Region's lane, as replication does. Notes of ids published once
    belong to one Region each. Of the ledger, a producer may read only how far reconciliation has seen the lanes, for
    cases of doubt that the log alone cannot resolve, and how far subscriptions let it fill them. It reads what is
    declared of the stream, and declares nothing.
    """
    origins = stream.definition.regions
    appends = [
        Statement(
            f"append what is published in {region}, and confirm there what other Regions have",
            dynamodb("PutItem"),
            (table(stream.table, region),),
            leading_keys=(*lanes_of(stream), f"once/{region}/*"),
        )
        for region in origins
    ]
    looks = [look_at_lanes(topology, stream, region) for region in origins]
    rings = [queues("ring for what is published", RING, topology, origins, [f"{stream.name}/doorbells"])]
    return [
        *appends,
        read_log(stream, origins),
        *looks,
        *(rings if stream.definition.express else ()),
        use_key(topology, origins),
    ]


def operator(topology: Topology, stream: StreamTopology) -> list[Statement]:
    """Permissions of an operator: all that the command line does with a stream, from `show` to `failover`."""
    regions, ledger = stream.definition.regions, topology.ledger_of(stream.name)
    count = ("GetQueueUrl", *TAKE)
    dead, timers = [f"{stream.name}/dead"], topology.timers
    statements = [
        Statement(
            f"read the log of {stream.name}, copy what it lacks, restore records, and declare",
            dynamodb("Query", "PutItem"),
            (table(stream.table, EVERYWHERE),),
            leading_keys=(*lanes_of(stream), DECLARATIONS, "aside/*"),
            wildcard=_SAME_NAME,
        ),
        Statement(
            "set records aside",
            dynamodb("DeleteItem"),
            (table(stream.table, EVERYWHERE),),
            leading_keys=lanes_of(stream),
            wildcard=_SAME_NAME,
        ),
        Statement(
            f"read a copy of the log of {stream.name} that was restored to a point in time",
            dynamodb("Query"),
            tuple(Resource("dynamodb", region, f"table/{stream.table.name}-restored*") for region in regions),
            leading_keys=(*lanes_of(stream), DECLARATIONS),
            wildcard="Whoever restores a table names it; the name must begin with the table's own and '-restored'.",
        ),
        Statement(
            "see and change the state of the stream's subscriptions",
            dynamodb("Query", "GetItem", "PutItem", "UpdateItem", "DeleteItem"),
            (table(ledger, EVERYWHERE),),
            leading_keys=(f"{stream.name}/*",),
            wildcard=_SAME_NAME,
        ),
        keep_backfills(topology, topology.regions),
        Statement(
            "start and watch backfills by state machine",
            tuple(f"states:{name}" for name in ("StartExecution", "ListExecutions")),
            tuple(Resource("states", r, f"stateMachine:{topology.backfill_machine_name}") for r in regions),
        ),
        queues("ring", RING, topology, regions, [f"{stream.name}/doorbells"]),
        queue("ring later", RING, timers.name, *regions),
        queues("count and redrive doorbells that no function could answer", count, topology, regions, dead),
        queue("count and redrive timers", count, timers.dead_letter_name, *regions),
        Statement(
            "see how many invocations functions have, and how many are refused",
            ("cloudwatch:GetMetricData",),
            (Resource(EVERYWHERE, EVERYWHERE, EVERYWHERE),),
            wildcard="CloudWatch knows no resources of metrics.",
        ),
    ]
    return [*statements, use_key(topology, topology.regions)]
