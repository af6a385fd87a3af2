"""The schema of a definition: streams and subscriptions, with every default and bound. Reads no file.

It ships to Lambda, so it must import quickly and does without pydantic. `definition.marks` has the annotations with
which it documents and bounds its keys. `definition.file` reads, and `definition.checks` checks a definition.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

from annotated_types import Interval, Len, Predicate

from eventfabric.definition.functions import FunctionSettings
from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.marks import (
    BeginsAt,
    Contact,
    Doc,
    EventType,
    FromKey,
    HandlerReference,
    Name,
    PowersOfTwo,
    RegionName,
    Source,
    Stage,
    Table,
    TableName,
    TopicArn,
)
from eventfabric.definition.sections import (
    Attempts,
    Backpressure,
    Breaker,
    Compatibility,
    Concurrency,
    Retry,
    Schemas,
    Slo,
    TypeSection,
)
from eventfabric.limits import (
    ACCOUNT_CONCURRENCY,
    ACCOUNT_CONCURRENCY_MAX,
    ACCOUNT_CONCURRENCY_MIN,
    LANES_DEFAULT,
    LANES_MAX,
)

RESERVED_STREAM_NAMES: Final = ("ledger",)
"""The fabric has tables `<fabric>-<name>` of its own with these names."""
RESERVED_SUBSCRIPTION_ENDINGS: Final = ("backfill", "dead", "lookup", "reconcile", "relay", "timer", "timers")
"""The fabric has queues and functions of its own whose names end like this."""
QUORUM_REGIONS: Final = 3
"""A strongly consistent global table has exactly three Regions."""


def is_power_of_two(number: int) -> bool:
    """Tell if a number is a power of two."""
    return number > 0 and number & (number - 1) == 0


Regions: TypeAlias = Annotated[tuple[RegionName, ...], Len(1)]

Durability: TypeAlias = Literal["regional", "replicated", "quorum"]
Order: TypeAlias = Literal["key", "none"]
OnLate: TypeAlias = Literal["deliver", "reconcile", "dead_letter"]
OnExpired: TypeAlias = Literal["halt", "skip"]
Alarms: TypeAlias = Literal["few", "all"]
LogKey: TypeAlias = Literal["aws", "fabric"]
TableAction: TypeAlias = Literal[
    "GetItem",
    "BatchGetItem",
    "Query",
    "Scan",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "ConditionCheckItem",
]
TableActions: TypeAlias = tuple[TableAction, ...]
Deliver: TypeAlias = Literal["origin", "everywhere", "one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricSection(Table):
    """The fabric as a whole."""

    name: Annotated[Name, Doc("Name of the fabric; every table, queue and function is named after it.")]
    stage: Annotated[
        Stage | None,
        Doc(
            "Stage, such as dev, which every name of the fabric carries behind `name`, so that one account can hold "
            "several stages.",
            default="none: the names carry `name` alone",
        ),
    ] = None
    regions: Annotated[
        Regions,
        Doc(
            "Regions of the fabric. The first is the home Region, from which tables that span Regions are deployed."
        ),
    ]
    closing: Annotated[
        tuple[RegionName, ...],
        Doc(
            "Regions that will be taken out of `regions`. Nothing is published there any more, and what is there is "
            "still delivered.",
            default="none",
        ),
    ] = ()
    lost: Annotated[
        tuple[RegionName, ...],
        Doc(
            "Regions that are gone for good, and no longer in `regions`. Nothing in them is asked when they are taken "
            "out: events that had not been replicated from there are lost.",
            default="none",
        ),
    ] = ()
    owner: Annotated[
        Contact | None,
        Doc(
            "Who deploys the fabric, such as the address of a repository. A deployment by another owner is refused.",
            default="nobody: whoever may deploy to the account",
        ),
    ] = None
    former_owner: Annotated[
        Contact | None,
        Doc(
            "Who deployed the fabric before `owner`, and hands it over. Once `owner` has deployed all Regions, this "
            "key may go, and a deployment by the former owner is refused.",
            default="nobody",
        ),
    ] = None
    alarm_actions: Annotated[
        tuple[TopicArn, ...],
        Doc(
            "SNS topics that are notified when an alarm goes off and when it ends. An alarm notifies the topics in its "
            "own Region.",
            default="nobody is notified",
        ),
    ] = ()
    account_concurrency: Annotated[
        Annotated[int, Interval(ge=ACCOUNT_CONCURRENCY_MIN, le=ACCOUNT_CONCURRENCY_MAX)],
        Doc(
            "Concurrent invocations that Lambda's quota allows the account in each Region (`aws lambda "
            "get-account-settings`). Of these the deployment reserves some for the fabric's own functions, if they "
            "suffice."
        ),
    ] = ACCOUNT_CONCURRENCY
    alarms: Annotated[
        Alarms,
        Doc(
            '"few": one alarm of a kind in each Region, whose metric says which subscription or stream it is. "all": '
            "one of a kind for each subscription and stream, and some that go off earlier."
        ),
    ] = "few"
    log_key: Annotated[
        LogKey,
        Doc(
            'Key with which log groups are encrypted: one of AWS ("aws"), or that of the fabric in their Region '
            '("fabric").'
        ),
    ] = "aws"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream(Table):
    """A named append-only log. Invariant, once read: `regions` is not empty, and all are Regions of the fabric."""

    name: Annotated[str, FromKey()]
    regions: Annotated[
        Regions,
        Doc(
            "Regions in which events can be published to the stream and read.", default="the fabric's Regions"
        ),
    ] = ()
    durability: Annotated[
        Durability,
        Doc(
            'Where an accepted event is stored. "regional": in one Region. "replicated": in one Region, and a moment '
            'later in the others. "quorum": in exactly three Regions; losing any one of them loses no accepted event.'
        ),
    ] = "replicated"
    lanes: Annotated[
        Annotated[int, Interval(ge=1, le=LANES_MAX), Predicate(is_power_of_two), PowersOfTwo(LANES_MAX)],
        Doc(
            "Lanes per Region, among which keys are distributed. More lanes allow more appends at the same time."
        ),
    ] = LANES_DEFAULT
    retention_days: Annotated[
        Annotated[int, Interval(ge=1, le=3650)] | None,
        Doc("Days after which records expire.", default="records are kept forever"),
    ] = None
    express: Annotated[
        bool,
        Doc(
            "true: a producer rings the doorbells of its events itself, at once, which costs a request to each queue. "
            "false: only the relay rings, which sees the events about a quarter of a second later."
        ),
    ] = True
    schemas: Annotated[
        Schemas,
        Doc(
            '"optional": events of a type without a schema are published as they are. "required": they are refused.'
        ),
    ] = "optional"
    compatibility: Annotated[
        Compatibility,
        Doc(
            "Promise that each new version of a schema must keep. "
            + " ".join(f'"{own}": {own.meaning}' for own in Compatibility)
        ),
    ] = Compatibility.FULL_TRANSITIVE
    sources: Annotated[
        dict[Source, Contact],
        Doc(
            "Who publishes: the `source` of their events, and whom to ask about them. It is said in the catalogue, and "
            "keeps nobody from publishing.",
            default="none",
        ),
    ] = field(default_factory=dict)
    types: Annotated[
        dict[EventType, TypeSection],
        Doc(
            "One table [streams.NAME.types.TYPE] for each event type of which there is more to say.",
            default="none",
        ),
    ] = field(default_factory=dict)

    def compatibility_of(self, type_: str) -> Compatibility:
        """Return the promise that new versions of a type's schema must keep."""
        own = self.types.get(type_)
        return self.compatibility if own is None or own.compatibility is None else own.compatibility


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription(Table):
    """A named consumer of one stream. Invariant, once read: `region` goes with `deliver = "one"`."""

    name: Annotated[str, FromKey()]
    stream: Annotated[Name, Doc("Name of the stream.")]
    types: Annotated[
        Annotated[tuple[EventType, ...], Len(1)] | None,
        Doc("Types of the events to deliver. Events of other types are passed over.", default="all types"),
    ] = None
    handler: Annotated[
        HandlerReference, Doc("The function that handles an event, as package.module:function.")
    ]
    guarantee: Annotated[
        Guarantee,
        Doc(" ".join(f'"{guarantee}": {guarantee.meaning}' for guarantee in Guarantee)),
    ] = Guarantee.AT_LEAST_ONCE
    publishes: Annotated[
        tuple[Name, ...],
        Doc("Streams into which the handler publishes, with `delivery.publish`.", default="none"),
    ] = ()
    tables: Annotated[
        dict[TableName, Annotated[TableActions, Len(1)]] | None,
        Doc(
            "Tables of your own that the handler uses, in the Region that delivers, each with what it does there. Its "
            "role gets these rights, and tests hold it to them: what is not listed is refused.",
            default="not listed: your extension grants what the handler needs, and no test knows it",
        ),
    ] = None
    order: Annotated[
        Order,
        Doc(
            '"key": events of a key are delivered in order, and later ones wait behind one that failed. "none": no '
            "event waits for another."
        ),
    ] = "key"
    deliver: Annotated[
        Deliver,
        Doc(
            'Which Region delivers. "origin": each Region, the events published in it. "everywhere": every Region, all '
            'events. "one": one Region, all events.'
        ),
    ] = "origin"
    region: Annotated[
        RegionName | None,
        Doc('The Region that delivers; only with deliver = "one".', default="the stream's first Region"),
    ] = None
    contact: Annotated[
        Contact | None, Doc("Whom to ask about the subscription, such as a team's channel.", default="nobody")
    ] = None
    concurrency: Annotated[
        Concurrency,
        Doc(
            "Number of keys whose events a function attempts at the same time, in one lane or several. Events of the "
            'same key are never attempted at the same time. "auto": as many as do not slow each other down.'
        ),
    ] = 1
    concurrency_max: Annotated[Attempts, Doc('Bound of `concurrency = "auto"`.')] = 16
    start: Annotated[
        BeginsAt,
        Doc(
            'Where a new subscription begins. "earliest": with the oldest event that is kept. "latest": with events '
            "published since 5 s before its declaration in a Region. A time: with events published then or later."
        ),
    ] = "earliest"
    on_late: Annotated[
        OnLate,
        Doc(
            "How to treat a late event: a later event of its key, from another Region, was handled before it. "
            '"deliver": call the handler, with `event.late`. "reconcile": call the handler\'s second function. '
            '"dead_letter": make it a dead letter, for a person to decide.'
        ),
    ] = "deliver"
    on_expired: Annotated[
        OnExpired,
        Doc(
            'What to do if records expired before they were delivered. "halt": stop there, until a person acts. '
            '"skip": go on with the oldest record that is kept; the number of skipped events is counted and logged.'
        ),
    ] = "halt"
    replay: Annotated[
        bool,
        Doc(
            "true: an operator may replay events to the subscription. false: its effects must not be repeated."
        ),
    ] = True
    retry: Annotated[Retry, Doc("Retries of an event whose attempt failed.")] = field(default_factory=Retry)
    breaker: Annotated[
        Breaker,
        Doc(
            "Conditions under which deliveries stop, because a system that the handler calls seems to be down."
        ),
    ] = field(default_factory=Breaker)
    validate: Annotated[
        bool,
        Doc(
            "true: an event that does not fit the schema with which the function was built is a dead letter at once. "
            "false: events are delivered as they are; producers have checked theirs."
        ),
    ] = False
    function: Annotated[
        FunctionSettings,
        Doc("What the function gets to run. A key that is missing here has its value in [functions]."),
    ] = field(default_factory=FunctionSettings)
    slo: Annotated[
        Slo | None,
        Doc("Objective: how fast deliveries must be, and how often they may be slower.", default="none"),
    ] = None
    backpressure: Annotated[
        Backpressure | None,
        Doc(
            "How far producers may be ahead of the subscription, in each lane.", default="as far as they get"
        ),
    ] = None

    @property
    def attempts_max(self) -> int:
        """Most attempts at the same time in one function."""
        return self.concurrency_max if self.concurrency == "auto" else self.concurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition(Table):
    """A whole fabric, resolved: every value is filled in, and nothing has to be looked up elsewhere."""

    fabric: Annotated[FabricSection, Doc("The fabric as a whole.")]
    functions: Annotated[
        FunctionSettings,
        Doc("What functions get to run, unless [subscriptions.NAME.function] says otherwise."),
    ] = field(default_factory=FunctionSettings)
    streams: Annotated[
        Annotated[dict[Name, Stream], Len(1)], Doc("One table [streams.NAME] for each stream; at least one.")
    ]
    subscriptions: Annotated[
        dict[Name, Subscription], Doc("One table [subscriptions.NAME] for each subscription.", default="none")
    ] = field(default_factory=dict)


def full_name(fabric: FabricSection) -> str:
    """Name a fabric with its stage: the beginning of every name of its resources, except stacks."""
    return name_in_stage(fabric.name, fabric.stage)


def name_in_stage(name: str, stage: str | None) -> str:
    """Return `<name>_<stage>`, or the name if there is no stage.

    No name in a definition has an underscore, and no stage a hyphen. So no other fabric and stage make the same name.
    """
    return name if stage is None else f"{name}_{stage}"


def to_json(definition: Definition) -> bytes:
    """Encode a resolved definition for shipping to Lambda. Equal definitions give equal bytes."""
    import msgspec

    return msgspec.json.encode(definition, order="sorted")


def from_json(data: bytes) -> Definition:
    """Decode what `to_json` encoded. It is trusted: only its shape is checked. Raises `msgspec.DecodeError`."""
    import msgspec

    return msgspec.json.decode(data, type=Definition)
