"""Permissions of each function and each kind of person: exact actions, on exact resources and partition keys.

The deployment renders them as IAM policies, the local fabric checks every call of a function against them, and tests
compare both. They contain exactly what the adapters in `aws/` call.

    log      partitions `<origin>/...` (records) and `once/<origin>/...` (notes of ids published once)
    ledger   partitions `<stream>/<subscription>`, `<stream>/<subscription>/...`, `<stream>/marks/...`, `backfill...`
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from eventfabric.resources import (
    ENVIRONMENT_REGION,
    ENVIRONMENT_SUBSCRIPTION,
    FunctionTopology,
    TableTopology,
)
from eventfabric.topology import (
    BACKFILL_ENTRY,
    DELIVER_ENTRY,
    RECONCILE_ENTRY,
    RELAY_ENTRY,
    TIMER_ENTRY,
    StreamTopology,
    SubscriptionTopology,
    Topology,
)

_READ_STREAM = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
_TAKE = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
_RING = ("GetQueueUrl", "SendMessage")


@dataclass(frozen=True, slots=True)
class Resource:
    """An AWS resource of the account. `name` is the part of its ARN behind the account, and may end with `*`."""

    service: str
    region: str
    name: str

    def arn(self, *, partition: str, account: str) -> str:
        """Make the resource's ARN in an account."""
        return f"arn:{partition}:{self.service}:{self.region}:{account}:{self.name}"


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that is allowed, and `why`.

    With `leading_keys`, only items are allowed whose partition key matches one of them. With `alias`, only the KMS key
    that has this alias is, and only on behalf of DynamoDB and SQS. `wildcard` says why a resource ends with `*`.
    """

    why: str
    actions: tuple[str, ...]
    resources: tuple[Resource, ...]
    leading_keys: tuple[str, ...] = ()
    alias: str | None = None
    wildcard: str = ""

    @property
    def conditions(self) -> dict[str, dict[str, list[str]]]:
        """The statement's conditions in the form of IAM: operator, key, values."""
        if self.alias is not None:
            regions = sorted({resource.region for resource in self.resources})
            through = [
                f"{service}.{region}.amazonaws.com" for region in regions for service in ("dynamodb", "sqs")
            ]
            return {
                "StringEquals": {"kms:ViaService": through},
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": [self.alias]},
            }
        if self.leading_keys:
            return {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(self.leading_keys)}}
        return {}

    def allows(self, action: str, resource: Resource, keys: Collection[str] = ()) -> bool:
        """Tell if the statement allows a call. `keys`: partition keys of the items, for a call of DynamoDB."""
        return (
            action in self.actions
            and any(_matches(resource, allowed) for allowed in self.resources)
            and (not self.leading_keys or all(_is_like(key, self.leading_keys) for key in keys))
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
    return [*statements, _key(topology, _regions_of(statements) or [region])]


def publisher(topology: Topology, stream: StreamTopology) -> list[Statement]:
    """Permissions of a producer: append in each Region, confirm there what another Region has, read the log, ring.

    A confirmation (`acks=2`) writes a record of another Region's lane, as replication does. Notes of ids published once
    belong to one Region each. Of the ledger, a producer may read only how far reconciliation has seen the lanes, for
    cases of doubt that the log alone cannot resolve.
    """
    origins = stream.definition.regions
    appends = [
        Statement(
            f"append what is published in {region}, and confirm there what other Regions have",
            ("dynamodb:PutItem",),
            (_table(stream.table, region),),
            leading_keys=(*_lanes(stream), f"once/{region}/*"),
        )
        for region in origins
    ]
    looks = [_look_at_marks(topology, stream, region) for region in origins]
    rings = [
        _sqs(f"ring for what is published in {region}", _RING, queues, [region])
        for region in origins
        if stream.definition.express
        and (
            queues := [
                subscription.queue.name
                for subscription in stream.subscriptions
                if subscription.delivers(region, region)
            ]
        )
    ]
    return [*appends, _read_log(stream, origins), *looks, *rings, _key(topology, origins)]


def operator(topology: Topology, stream: StreamTopology) -> list[Statement]:
    """Permissions of an operator: all that the command line does with a stream, from `show` to `failover`."""
    regions, ledger = stream.definition.regions, topology.ledger_of(stream.name)
    queues = [q for s in stream.subscriptions for q in (s.queue.name, s.timers.name)]
    dead = [q for s in stream.subscriptions for q in (s.queue.dead_letter_name, s.timers.dead_letter_name)]
    statements = [
        _read_log(stream, regions),
        _write_log(stream, regions, ("PutItem",)),
        Statement(
            f"set aside or restore records of the log of {stream.name}, on record",
            _dynamodb("Query", "PutItem", "DeleteItem"),
            tuple(_table(stream.table, region) for region in regions),
            leading_keys=(*_lanes(stream), "aside/*"),
        ),
        Statement(
            f"read a copy of the log of {stream.name} that was restored to a point in time",
            _dynamodb("Query"),
            tuple(Resource("dynamodb", region, f"table/{stream.table.name}-restored*") for region in regions),
            leading_keys=_lanes(stream),
            wildcard="Whoever restores a table names it; the name must begin with the table's own and '-restored'.",
        ),
        Statement(
            "see and change the state of the stream's subscriptions",
            _dynamodb("Query", "GetItem", "PutItem", "UpdateItem", "DeleteItem"),
            tuple(_table(ledger, region) for region in regions),
            leading_keys=(f"{stream.name}/*",),
        ),
        _backfills(topology, topology.regions),
        Statement(
            "start and watch backfills by state machine",
            tuple(f"states:{name}" for name in ("StartExecution", "ListExecutions")),
            tuple(Resource("states", r, f"stateMachine:{topology.backfill_machine_name}") for r in regions),
        ),
    ]
    if queues:
        statements += [
            _sqs("ring, now or later", _RING, queues, regions),
            _sqs(
                "count and redrive doorbells that no function could answer",
                ("GetQueueUrl", *_TAKE),
                dead,
                regions,
            ),
        ]
    return [*statements, _key(topology, _regions_of(statements))]


def is_allowed(
    statements: Iterable[Statement], action: str, resource: Resource, keys: Collection[str] = ()
) -> bool:
    """Tell if any of the statements allows a call."""
    return any(statement.allows(action, resource, keys) for statement in statements)


def _relay(topology: Topology, region: str) -> list[Statement]:
    streams = topology.streams_in(region)
    statements = [
        Statement(
            "read the tables' streams",
            _dynamodb(*_READ_STREAM),
            tuple(Resource("dynamodb", region, f"table/{stream.table.name}/stream/*") for stream in streams),
            wildcard="A stream's name is the time at which it was switched on.",
        ),
        Statement(
            "report which part of a stream it gave up on",
            ("sqs:SendMessage",),
            (Resource("sqs", region, topology.relay_dead_name),),
        ),
    ]
    names = [queue.name for own in topology.subscriptions_in(region) for queue in (own.queue, own.timers)]
    if names:
        statements.append(_sqs("ring, at once or later", _RING, names, [region]))
    for stream in streams:
        if stream.subscriptions:
            statements.append(_read_standings(topology, stream, [region]))
    return statements


def _deliver(topology: Topology, subscription: SubscriptionTopology, region: str) -> list[Statement]:
    stream = topology.stream(subscription.definition.stream)
    ledger = topology.ledger_of(stream.name)
    name = f"{stream.name}/{subscription.name}"
    statements = [
        _sqs(
            "receive its doorbells, and delay them",
            (*_TAKE, "ChangeMessageVisibility", *_RING),
            [subscription.queue.name],
            [region],
        ),
        _sqs("ring later", _RING, [subscription.timers.name], [region]),
        _read_log(stream, [region]),
        Statement(
            "keep the state of its lanes, and its steps",
            _dynamodb("Query", "GetItem", "PutItem", "UpdateItem", "DeleteItem"),
            (_table(ledger, region),),
            leading_keys=(name, f"{name}/*"),
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
                _dynamodb("Query"),
                tuple(_table(ledger, other) for other in others),
                leading_keys=(name,),
            )
        )
    return statements


def _publish_to(topology: Topology, target: StreamTopology, region: str) -> list[Statement]:
    """Permissions of a handler that publishes into another stream, in the Region's own lanes. The relay rings."""
    return [
        Statement(
            f"append to {target.name} what the handler publishes, and find the end of its lanes",
            _dynamodb("Query", "PutItem"),
            (_table(target.table, region),),
            leading_keys=(f"{region}/*", f"once/{region}/*"),
        ),
        _look_at_marks(topology, target, region),
    ]


def _use(table: str, actions: Sequence[str], region: str) -> Statement:
    """Permission of a handler on a table of the user's own, with its indexes if it reads these."""
    ends = ("", "/index/*") if {"Query", "Scan"} & {*actions} else ("",)
    resources = tuple(Resource("dynamodb", region, f"table/{table}{end}") for end in ends)
    return Statement(f"use {table}", _dynamodb(*actions), resources, wildcard="Its owner names its indexes.")


def _look_at_marks(topology: Topology, stream: StreamTopology, region: str) -> Statement:
    return Statement(
        f"look up how far the lanes of {stream.name} in {region} were seen",
        _dynamodb("Query"),
        (_table(topology.ledger_of(stream.name), region),),
        leading_keys=(f"{stream.name}/marks/{region}",),
    )


def _timer(topology: Topology, region: str) -> list[Statement]:
    subscriptions = topology.subscriptions_in(region)
    if not subscriptions:
        return []
    return [
        _sqs(
            "receive doorbells that are due, and delay them",
            (*_TAKE, "GetQueueUrl", "ChangeMessageVisibility"),
            [subscription.timers.name for subscription in subscriptions],
            [region],
        ),
        _sqs("ring", _RING, [subscription.queue.name for subscription in subscriptions], [region]),
    ]


def _reconcile(topology: Topology, region: str) -> list[Statement]:
    statements: list[Statement] = []
    for stream in topology.streams_in(region):
        ledger = topology.ledger_of(stream.name)
        statements += [
            _read_log(stream, stream.definition.regions),
            _write_log(stream, [region], ("PutItem",)),
            Statement(
                f"look at the state of {stream.name}'s subscriptions, note the pass",
                _dynamodb("Query", "GetItem", "PutItem"),
                (_table(ledger, region),),
                leading_keys=(f"{stream.name}/*",),
            ),
        ]
        others = [other for other in stream.definition.regions if other != region]
        if others and stream.subscriptions:
            statements.append(_read_standings(topology, stream, others))
    names = [subscription.queue.name for subscription in topology.subscriptions_in(region)]
    return [*statements, _sqs("ring again", _RING, names, [region])] if names else statements


def _backfill(topology: Topology, region: str) -> list[Statement]:
    statements: list[Statement] = [_backfills(topology, [region])]
    for stream in topology.streams_in(region):
        statements += [
            _read_log(stream, stream.definition.regions),
            _write_log(stream, [region], ("PutItem",)),
        ]
    return statements


def _backfills(topology: Topology, regions: Sequence[str]) -> Statement:
    return Statement(
        "keep plans and resume points of backfills",
        _dynamodb("Query", "GetItem", "PutItem"),
        tuple(_table(topology.ledger, region) for region in regions),
        leading_keys=("backfill", "backfill/*"),
    )


def _read_standings(topology: Topology, stream: StreamTopology, regions: Sequence[str]) -> Statement:
    return Statement(
        f"see who delivers {stream.name}",
        _dynamodb("Query"),
        tuple(_table(topology.ledger_of(stream.name), region) for region in regions),
        leading_keys=tuple(f"{stream.name}/{subscription.name}" for subscription in stream.subscriptions),
    )


def _read_log(stream: StreamTopology, regions: Sequence[str]) -> Statement:
    return Statement(
        f"read the log of {stream.name}",
        _dynamodb("Query"),
        tuple(_table(stream.table, region) for region in regions),
        leading_keys=_lanes(stream),
    )


def _write_log(stream: StreamTopology, regions: Sequence[str], actions: Sequence[str]) -> Statement:
    return Statement(
        f"copy what the log of {stream.name} lacks",
        _dynamodb(*actions),
        tuple(_table(stream.table, region) for region in regions),
        leading_keys=_lanes(stream),
    )


def _lanes(stream: StreamTopology) -> tuple[str, ...]:
    return tuple(f"{origin}/*" for origin in stream.definition.regions)


def _key(topology: Topology, regions: Sequence[str]) -> Statement:
    """Permission to use the fabric's KMS key, through the tables and queues that are encrypted with it."""
    return Statement(
        "read and write what is encrypted",
        tuple(f"kms:{name}" for name in ("Decrypt", "DescribeKey", "GenerateDataKey")),
        tuple(Resource("kms", region, "key/*") for region in regions),
        alias=topology.key_alias,
        wildcard="No policy can name a key by its alias; the condition does.",
    )


def _sqs(why: str, actions: Sequence[str], queues: Sequence[str], regions: Sequence[str]) -> Statement:
    return Statement(
        why,
        tuple(f"sqs:{name}" for name in dict.fromkeys(actions)),
        tuple(Resource("sqs", region, queue) for region in regions for queue in queues),
    )


def _dynamodb(*actions: str) -> tuple[str, ...]:
    return tuple(f"dynamodb:{action}" for action in actions)


def _table(table: TableTopology, region: str) -> Resource:
    return Resource("dynamodb", region, f"table/{table.name}")


def _regions_of(statements: Iterable[Statement]) -> list[str]:
    return sorted({resource.region for statement in statements for resource in statement.resources})


def _matches(resource: Resource, allowed: Resource) -> bool:
    same = (resource.service, resource.region) == (allowed.service, allowed.region)
    return same and fnmatchcase(resource.name, allowed.name)


def _is_like(key: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
