"""Permissions of each function: exact actions, on exact tables and partition keys, and on queues by their tags.

The deployment renders them as IAM policies, the local fabric checks every call of a function against them, and tests
compare both. They contain exactly what the adapters in `aws/` call. Permissions of people are in `people`.

    log      partitions `<origin>/...`: records; `once/<origin>/...`: published ids; `@<origin>/<stream>`: declarations
    ledger   partitions `<stream>/<subscription>`, `<stream>/<subscription>/...`, `<stream>/marks/...`, `backfill...`
    queues   tags `<fabric>/<stream>/doorbells` and `.../dead`; that of timers by its name

Whatever serves many subscriptions names none of them, so its policies do not grow with their number.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from eventfabric.resources import (
    ENVIRONMENT_REGION,
    ENVIRONMENT_SUBSCRIPTION,
    FABRIC_TAG,
    QUEUE_TAG,
    FunctionTopology,
    TableTopology,
)
from eventfabric.stream_topology import INCARNATION, StreamTopology, SubscriptionTopology
from eventfabric.topology import (
    BACKFILL_ENTRY,
    DELIVER_ENTRY,
    RECONCILE_ENTRY,
    RELAY_ENTRY,
    TIMER_ENTRY,
    Topology,
)

_READ_STREAM = ("DescribeStream", "GetRecords", "GetShardIterator")
_NOTE = ("Query", "GetItem", "PutItem")
DECLARATIONS: Final = "@*"
"""Pattern of the partition keys of the lanes in which is declared what is deployed."""
EVERYWHERE: Final = "*"
"""Region of a resource that has the same name in each."""
TAKE: Final = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
"""Actions on a queue from which messages are taken."""
RING: Final = ("GetQueueUrl", "SendMessage")
"""Actions on a queue into which doorbells are sent."""


@dataclass(frozen=True, slots=True)
class Resource:
    """An AWS resource of the account. `name` is the part of its ARN behind the account, and may have a `*`.

    `region` may be EVERYWHERE. `service` is `*` for actions that know no resources: IAM takes nothing else for them.
    """

    service: str
    region: str
    name: str

    def arn(self, *, partition: str, account: str) -> str:
        """Make the resource's ARN in an account."""
        if self.service == EVERYWHERE:
            return EVERYWHERE
        return f"arn:{partition}:{self.service}:{self.region}:{account}:{self.name}"


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that is allowed, and `why`.

    With `leading_keys`, only items are allowed whose partition key matches one of them. With `queue_tags`, only queues
    are whose tag does. With `key_of`, only KMS keys with the tag of that fabric are, and only on behalf of DynamoDB and
    SQS. `wildcard` says why a resource has a `*`.
    """

    why: str
    actions: tuple[str, ...]
    resources: tuple[Resource, ...]
    leading_keys: tuple[str, ...] = ()
    queue_tags: tuple[str, ...] = ()
    key_of: str | None = None
    wildcard: str = ""

    @property
    def conditions(self) -> dict[str, dict[str, list[str]]]:
        """The statement's conditions in the form of IAM: operator, key, values."""
        if self.key_of is not None:
            regions = sorted({resource.region for resource in self.resources})
            through = [
                f"{service}.{region}.amazonaws.com" for region in regions for service in ("dynamodb", "sqs")
            ]
            tag = f"aws:ResourceTag/{FABRIC_TAG}"
            return {"StringEquals": {"kms:ViaService": through, tag: [self.key_of]}}
        if self.queue_tags:
            return {"StringLike": {f"aws:ResourceTag/{QUEUE_TAG}": list(self.queue_tags)}}
        if self.leading_keys:
            return {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(self.leading_keys)}}
        return {}

    def allows(
        self, action: str, resource: Resource, keys: Collection[str] = (), *, queue_tag: str = ""
    ) -> bool:
        """Tell if the statement allows a call.

        `keys`: partition keys of the items, for a call of DynamoDB. `queue_tag`: tag of the queue, for one of SQS.
        """
        return (
            action in self.actions
            and any(_matches(resource, allowed) for allowed in self.resources)
            and (not self.leading_keys or all(_is_like(key, self.leading_keys) for key in keys))
            and (not self.queue_tags or _is_like(queue_tag, self.queue_tags))
        )


def of_function(topology: Topology, function: FunctionTopology) -> list[Statement]:
    """Permissions of a function, without those on a handler's own resources that its subscription does not list."""
    region = function.environment[ENVIRONMENT_REGION]
    own = {RELAY_ENTRY: _relay, TIMER_ENTRY: _timer, RECONCILE_ENTRY: _reconcile, BACKFILL_ENTRY: _backfill}
    if function.entry == DELIVER_ENTRY:
        subscription = topology.subscription(function.environment[ENVIRONMENT_SUBSCRIPTION])
        statements = _deliver(topology, subscription, region)
    else:
        statements = own[function.entry](topology, region)
    regions = regions_of(statements)
    return [*statements, use_key(topology, topology.regions if EVERYWHERE in regions else regions)]


def of_schedule(topology: Topology, region: str) -> list[Statement]:
    """Permissions of the schedule of reconciliation, beside that to invoke its function."""
    dead = queue("note what could not be invoked", ("SendMessage",), topology.reconcile_dead_name, region)
    return [dead, use_key(topology, [region])]


def is_allowed(
    statements: Iterable[Statement],
    action: str,
    resource: Resource,
    keys: Collection[str] = (),
    *,
    queue_tag: str = "",
) -> bool:
    """Tell if any of the statements allows a call; see Statement.allows."""
    return any(statement.allows(action, resource, keys, queue_tag=queue_tag) for statement in statements)


def _relay(topology: Topology, region: str) -> list[Statement]:
    streams = topology.streams_in(region)
    return [
        Statement(
            "read the tables' streams",
            dynamodb(*_READ_STREAM),
            tuple(Resource("dynamodb", region, f"table/{stream.table.name}/stream/*") for stream in streams),
            wildcard="A stream's name is the time at which it was switched on.",
        ),
        Statement(
            "list the streams of the account, as Lambda asks of whoever reads one",
            dynamodb("ListStreams"),
            (Resource(EVERYWHERE, region, EVERYWHERE),),
            wildcard="ListStreams knows no resources.",
        ),
        queue(
            "report which part of a stream it gave up on", ("SendMessage",), topology.relay_dead_name, region
        ),
        queues("ring", RING, topology, [region], ["*/doorbells"]),
        queue("ring later", RING, topology.timers.name, region),
        *_states("see who delivers", ("Query",), topology, streams, region),
        _declared(streams, region),
    ]


def _deliver(topology: Topology, subscription: SubscriptionTopology, region: str) -> list[Statement]:
    stream = topology.stream(subscription.definition.stream)
    ledger = topology.ledger_of(stream.name)
    name = f"{stream.name}/{subscription.name}"
    statements = [
        queue(
            "receive its doorbells, and delay them",
            (*TAKE, "ChangeMessageVisibility", *RING),
            subscription.queue.name,
            region,
        ),
        queue("ring later", RING, subscription.timers.name, region),
        read_log(stream, [region]),
        Statement(
            "keep the state of its lanes, its steps, and what it grants to producers",
            dynamodb("Query", "GetItem", "PutItem", "UpdateItem", "DeleteItem"),
            (table(ledger, region),),
            leading_keys=(name, f"{name}/*", f"{name}{INCARNATION}*"),
        ),
    ]
    for target in subscription.definition.publishes:
        statements += _publish_to(topology, topology.stream(target), region)
    statements += [_use(*table, region) for table in (subscription.definition.tables or {}).items()]
    others = [other for other in subscription.regions if other != region]
    if others:
        statements.append(
            Statement(
                "ask other Regions who delivers",
                dynamodb("Query"),
                tuple(table(ledger, other) for other in others),
                leading_keys=(name, f"{name}{INCARNATION}*"),
            )
        )
    return statements


def _publish_to(topology: Topology, target: StreamTopology, region: str) -> list[Statement]:
    """Permissions of a handler that publishes into another stream, in the Region's own lanes. The relay rings."""
    return [
        Statement(
            f"append to {target.name} what the handler publishes, and find the end of its lanes",
            dynamodb("Query", "PutItem"),
            (table(target.table, region),),
            leading_keys=(f"{region}/*", f"once/{region}/*"),
        ),
        Statement(
            f"see how {target.name} is deployed",
            dynamodb("Query"),
            (table(target.table, region),),
            leading_keys=(f"@{region}/{target.name}",),
        ),
        look_at_lanes(topology, target, region),
    ]


def _use(table: str, actions: Sequence[str], region: str) -> Statement:
    """Permission of a handler on a table of the user's own, with its indexes if it reads these."""
    ends = ("", "/index/*") if {"Query", "Scan"} & {*actions} else ("",)
    resources = tuple(Resource("dynamodb", region, f"table/{table}{end}") for end in ends)
    return Statement(f"use {table}", dynamodb(*actions), resources, wildcard="Its owner names its indexes.")


def look_at_lanes(topology: Topology, stream: StreamTopology, region: str) -> Statement:
    """Allow to look up how far reconciliation has seen the lanes of a Region, and how far they may be filled."""
    return Statement(
        f"look up how far the lanes of {stream.name} in {region} were seen, and may be filled",
        dynamodb("Query"),
        (table(topology.ledger_of(stream.name), region),),
        leading_keys=(f"{stream.name}/marks/{region}", f"{stream.name}/*/credits/{region}/*"),
    )


def _timer(topology: Topology, region: str) -> list[Statement]:
    receive = (*TAKE, "GetQueueUrl", "ChangeMessageVisibility")
    return [
        queue("receive doorbells that are due, and delay them", receive, topology.timers.name, region),
        queues("ring", RING, topology, [region], ["*/doorbells"]),
    ]


def _reconcile(topology: Topology, region: str) -> list[Statement]:
    streams = topology.streams_in(region)
    return [
        *_logs("read logs", ("Query",), streams, region=EVERYWHERE),
        *_logs("copy what the Region's logs lack", ("PutItem",), streams, region=region),
        *_states("see the states of subscriptions, note the pass", _NOTE, topology, streams, region),
        *(
            statement
            for other in topology.regions
            if other != region
            for statement in _states(
                "see who delivers",
                ("Query",),
                topology,
                [stream for stream in streams if other in stream.definition.regions],
                other,
            )
        ),
        queues("ring again", RING, topology, [region], ["*/doorbells"]),
        _declared(streams, region),
    ]


def _declared(streams: Iterable[StreamTopology], region: str) -> Statement:
    """Allow to read what is declared of these streams, also in Regions that they have left."""
    tables = tuple(table(stream.table, region) for stream in streams)
    return Statement("see what is deployed", dynamodb("Query"), tables, leading_keys=(DECLARATIONS,))


def _backfill(topology: Topology, region: str) -> list[Statement]:
    streams = topology.streams_in(region)
    return [
        keep_backfills(topology, [region]),
        *_logs("read logs", ("Query",), streams, region=EVERYWHERE),
        *_logs("copy what the Region's logs lack", ("PutItem",), streams, region=region),
        _declared(streams, region),
    ]


def keep_backfills(topology: Topology, regions: Sequence[str]) -> Statement:
    """Allow to keep plans and resume points of backfills in these Regions."""
    return Statement(
        "keep plans and resume points of backfills",
        dynamodb(*_NOTE),
        tuple(table(topology.ledger, region) for region in regions),
        leading_keys=("backfill", "backfill/*"),
    )


def _logs(
    why: str, actions: Sequence[str], streams: Iterable[StreamTopology], *, region: str
) -> Iterator[Statement]:
    """Allow something on all lanes of these streams, with those of declarations: a statement for each set of Regions.

    `region`: that of the tables, or `*`.
    """
    alike: dict[tuple[str, ...], list[StreamTopology]] = {}
    for stream in streams:
        alike.setdefault(lanes_of(stream), []).append(stream)
    for lanes, group in alike.items():
        tables = tuple(table(stream.table, region) for stream in group)
        wildcard = "A table has the same name in each of its Regions." if region == EVERYWHERE else ""
        copied = (*(f"@{lane}" for lane in lanes), "@*/schemas")  # of Regions that have left, too
        keys = (*lanes, *(copied if "PutItem" in actions else [DECLARATIONS]))
        yield Statement(why, dynamodb(*actions), tables, leading_keys=keys, wildcard=wildcard)


def _states(
    why: str, actions: Sequence[str], topology: Topology, streams: Iterable[StreamTopology], region: str
) -> Iterator[Statement]:
    """Allow something on the state of all subscriptions of these streams, in a Region: a statement for each ledger."""
    alike: dict[str, list[StreamTopology]] = {}
    for stream in streams:
        alike.setdefault(topology.ledger_of(stream.name).name, []).append(stream)
    for group in alike.values():
        ledger = table(topology.ledger_of(group[0].name), region)
        yield Statement(
            why, dynamodb(*actions), (ledger,), leading_keys=tuple(f"{stream.name}/*" for stream in group)
        )


def read_log(stream: StreamTopology, regions: Sequence[str]) -> Statement:
    """Allow to read all lanes of a stream in these Regions, and what is declared of it."""
    tables = tuple(table(stream.table, region) for region in regions)
    keys = (*lanes_of(stream), DECLARATIONS)
    return Statement(f"read the log of {stream.name}", dynamodb("Query"), tables, leading_keys=keys)


def lanes_of(stream: StreamTopology) -> tuple[str, ...]:
    """Return patterns of the partition keys of a stream's lanes."""
    return tuple(f"{origin}/*" for origin in stream.definition.regions)


def use_key(topology: Topology, regions: Sequence[str]) -> Statement:
    """Allow to use the fabric's KMS keys, through the tables and queues that are encrypted with them.

    They are recognised by a tag, because only the newest has the alias: what older ones encrypted stays readable.
    """
    return Statement(
        "read and write what is encrypted",
        tuple(f"kms:{name}" for name in ("Decrypt", "DescribeKey", "GenerateDataKey")),
        tuple(Resource("kms", region, "key/*") for region in regions),
        key_of=topology.fabric,
        wildcard="KMS gives keys their ids; the condition names the fabric's.",
    )


def queues(
    why: str, actions: Sequence[str], topology: Topology, regions: Sequence[str], tags: Iterable[str]
) -> Statement:
    """Allow something on all queues of the fabric in these Regions that have a tag such as `orders/doorbells`."""
    return Statement(
        why,
        _sqs(actions),
        tuple(Resource("sqs", region, f"{topology.fabric}-*") for region in regions),
        queue_tags=tuple(f"{topology.fabric}/{tag}" for tag in tags),
        wildcard="Each subscription has queues of its own; the condition tells them from those of other fabrics.",
    )


def queue(why: str, actions: Sequence[str], name: str, *regions: str) -> Statement:
    """Allow something on the queue of a name in these Regions."""
    return Statement(why, _sqs(actions), tuple(Resource("sqs", region, name) for region in regions))


def _sqs(actions: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"sqs:{name}" for name in dict.fromkeys(actions))


def dynamodb(*actions: str) -> tuple[str, ...]:
    """Name actions of DynamoDB as policies do."""
    return tuple(f"dynamodb:{action}" for action in actions)


def table(of: TableTopology, region: str) -> Resource:
    """Name a table in a Region."""
    return Resource("dynamodb", region, f"table/{of.name}")


def regions_of(statements: Iterable[Statement]) -> list[str]:
    """List the Regions of what the statements allow."""
    return sorted({resource.region for statement in statements for resource in statement.resources})


def _matches(resource: Resource, allowed: Resource) -> bool:
    reaches = resource.service == allowed.service and allowed.region in (resource.region, EVERYWHERE)
    return reaches and fnmatchcase(resource.name, allowed.name)


def _is_like(key: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
