"""Owns what a fabric is: streams and subscriptions, resolved, with every default and bound; reads no file.

It ships to Lambda, so it must import fast: no pydantic here. The markers below carry documentation and bounds
to pydantic and JSON Schema by duck typing; `definition_file` reads, checks and explains a definition.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from annotated_types import Interval, Len, Predicate

from eventfabric.limits import LANES_DEFAULT, LANES_MAX, NAME_CHARACTERS_MAX, TYPE_CHARACTERS_MAX

RESERVED_STREAM_NAMES: Final = ("ledger",)
"""Tables `<fabric>-<name>` that are the fabric's own."""
RESERVED_SUBSCRIPTION_ENDINGS: Final = ("backfill", "dead", "lookup", "reconcile", "relay", "timer", "timers")
"""Queues and functions `<fabric>-<subscription>-<ending>` are the fabric's own."""
QUORUM_REGIONS: Final = 3
"""A strongly consistent global table has exactly three Regions."""


@dataclass(frozen=True, slots=True)
class Doc:
    """What a key means; `default` says in words a default that no constant can say."""

    text: str
    default: str | None = None

    def __get_pydantic_json_schema__(
        self, core_schema: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        suffix = f" Default: {self.default}." if self.default else ""
        return {**handler(core_schema), "description": self.text + suffix}


@dataclass(frozen=True, slots=True)
class FromKey:
    """The value is the key of the table, so the file has no such key."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text that a regular expression describes to machines, and `says` to people."""

    regex: str
    says: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(source), "pattern": self.regex}


@dataclass(frozen=True, slots=True)
class PowersOfTwo:
    """The powers of two up to `most`, in a schema."""

    most: int

    def __get_pydantic_json_schema__(
        self, core_schema: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(core_schema), "enum": [1 << bit for bit in range(self.most.bit_length())]}


def is_power_of_two(number: int) -> bool:
    """Whether doubling 1 some times gives it."""
    return number > 0 and number & (number - 1) == 0


_RFC_3339: Final = r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time_ms(text: str) -> int | None:
    """The first whole millisecond since 1970 that is not before an RFC 3339 time; None where it is none."""
    if not re.fullmatch(_RFC_3339, text, re.ASCII):
        return None
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)  # which must have a date there, too
        return -((_EPOCH - moment) // timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        return None


def is_start(text: str) -> bool:
    """Whether a subscription may begin there."""
    return text in ("earliest", "latest") or parse_time_ms(text) is not None


Name: TypeAlias = Annotated[
    str,
    Pattern(
        rf"^[a-z][a-z0-9-]{{0,{NAME_CHARACTERS_MAX - 1}}}$",
        f"1 to {NAME_CHARACTERS_MAX} lower-case letters, digits and hyphens, a letter first",
    ),
]
RegionName: TypeAlias = Annotated[
    str, Pattern(r"^[a-z]{2,4}(-[a-z]+){1,2}-[1-9]$", "the name of an AWS Region, such as us-east-1")
]
_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
Reference: TypeAlias = Annotated[
    str, Pattern(rf"^{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}$", "package.module:name")
]
HandlerReference: TypeAlias = Annotated[
    str, Pattern(rf"^{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}$", "package.module:function")
]
EventType: TypeAlias = Annotated[
    str,
    Pattern(rf"^.{{1,{TYPE_CHARACTERS_MAX}}}$", f"an event type of 1 to {TYPE_CHARACTERS_MAX} characters"),
]
BeginsAt: TypeAlias = Annotated[
    str,
    Pattern(
        rf"^(earliest|latest|{_RFC_3339})$", '"earliest", "latest" or an RFC 3339 time with a zone, in quotes'
    ),
    Predicate(is_start),
]
Regions: TypeAlias = Annotated[tuple[RegionName, ...], Len(1)]

TopicArn: TypeAlias = Annotated[
    str,
    Pattern(
        r"^arn:aws[a-z-]*:sns:[a-z]{2,4}(-[a-z]+){1,2}-[1-9]:\d{12}:[A-Za-z0-9_-]{1,256}$",
        "the ARN of an SNS topic (not FIFO), such as arn:aws:sns:us-east-1:111122223333:on-call",
    ),
]

Durability: TypeAlias = Literal["regional", "replicated", "quorum"]
Guarantee: TypeAlias = Literal["at_most_once", "at_least_once", "exactly_once"]
Order: TypeAlias = Literal["key", "none"]
OnLate: TypeAlias = Literal["deliver", "reconcile", "dead_letter"]
OnExpired: TypeAlias = Literal["halt", "skip"]
Deliver: TypeAlias = Literal["origin", "everywhere", "one"]


class _Table:
    """A table of the file: no other keys than its fields, and no value that must be converted first."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricSection(_Table):
    """The fabric as a whole."""

    name: Annotated[Name, Doc("Name of the fabric; every table, queue and function is named after it.")]
    regions: Annotated[
        Regions,
        Doc(
            "Regions of the fabric. The first is its home, from which tables that span Regions are deployed."
        ),
    ]
    alarm_actions: Annotated[
        tuple[TopicArn, ...],
        Doc(
            "SNS topics that are told of every alarm, and of its end. An alarm tells those of its own Region.",
            default="nobody is told",
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream(_Table):
    """A named append-only log. Invariant, once read: `regions` is not empty, and the fabric has them all."""

    name: Annotated[str, FromKey()]
    regions: Annotated[
        Regions,
        Doc("Regions in which the stream can be published to and read.", default="the fabric's Regions"),
    ] = ()
    durability: Annotated[
        Durability,
        Doc(
            'What an accepted event survives. "regional": one Region holds it. "replicated": the others get '
            'it a moment later. "quorum": exactly three Regions, and no accepted event is lost with one of them.'
        ),
    ] = "replicated"
    lanes: Annotated[
        Annotated[int, Interval(ge=1, le=LANES_MAX), Predicate(is_power_of_two), PowersOfTwo(LANES_MAX)],
        Doc("Lanes per Region, among which keys are spread; more lanes carry more appends at the same time."),
    ] = LANES_DEFAULT
    retention_days: Annotated[
        Annotated[int, Interval(ge=1, le=3650)] | None,
        Doc("Days after which records expire.", default="records are kept for ever"),
    ] = None
    express: Annotated[
        bool,
        Doc(
            "Whether producers ring the doorbells of what they publish themselves, at once, rather than leave it all "
            "to the relay, which sees it a quarter of a second later. Costs a request to each queue."
        ),
    ] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(_Table):
    """What happens to an event whose attempt failed."""

    immediate: Annotated[
        Annotated[int, Interval(ge=0, le=10)],
        Doc("Tries at once, after the first attempt and before the key is parked."),
    ] = 2
    attempts: Annotated[
        Annotated[int, Interval(ge=1, le=100)],
        Doc("Failed attempts of one event after which it is a dead letter and its key waits for a redrive."),
    ] = 8
    backoff_seconds: Annotated[
        Annotated[float, Interval(ge=0.05, le=900)],
        Doc("Upper bound of the first wait, in seconds; it doubles with every attempt."),
    ] = 1.0
    backoff_max_seconds: Annotated[
        Annotated[float, Interval(ge=0.05, le=900)], Doc("Upper bound of every wait, in seconds.")
    ] = 900.0
    permanent: Annotated[
        tuple[Reference, ...],
        Doc("Exception types, as package.module:Name, that no further attempt can mend: dead at once."),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker(_Table):
    """When to stop attempting, because what is downstream seems to be down."""

    failure_ratio: Annotated[
        Annotated[float, Interval(ge=0.01, le=1)],
        Doc("Share of attempts that fail, from which on deliveries stop."),
    ] = 0.5
    parked_keys: Annotated[
        Annotated[int, Interval(ge=1, le=1000)],
        Doc("Parked keys of one lane, from which on deliveries stop."),
    ] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo(_Table):
    """How fast deliveries are to be, and how often they may be slower: a service level objective in each Region."""

    latency_ms: Annotated[
        Annotated[int, Interval(ge=1, le=86_400_000)],
        Doc("Milliseconds from append to commit. A minute is good if 99% of its runs took no longer."),
    ]
    on_time_ratio: Annotated[
        Annotated[float, Interval(ge=0.5, le=0.9999)],
        Doc("Share of the minutes with deliveries that are to be good."),
    ] = 0.99
    days: Annotated[Annotated[int, Interval(ge=1, le=90)], Doc("The last so many days are counted.")] = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription(_Table):
    """A named consumer of one stream. Invariant, once read: `region` goes with `deliver = "one"`."""

    name: Annotated[str, FromKey()]
    stream: Annotated[Name, Doc("Name of the stream.")]
    types: Annotated[
        Annotated[tuple[EventType, ...], Len(1)] | None,
        Doc("Types of the events to deliver; others are stepped over.", default="all types"),
    ] = None
    handler: Annotated[
        HandlerReference, Doc("The function that handles an event, as package.module:function.")
    ]
    guarantee: Annotated[
        Guarantee,
        Doc(
            '"at_most_once": commit, then attempt. "at_least_once": attempt, then commit. '
            '"exactly_once": the DynamoDB writes of the handler and the cursor commit in one transaction.'
        ),
    ] = "at_least_once"
    order: Annotated[
        Order,
        Doc('"key": the events of a key in order, others wait behind a failed one. "none": none waits.'),
    ] = "key"
    deliver: Annotated[
        Deliver,
        Doc(
            'Who delivers. "origin": each Region what was published in it. "everywhere": every Region every '
            'event. "one": one Region every event.'
        ),
    ] = "origin"
    region: Annotated[
        RegionName | None,
        Doc('The Region that delivers; only with deliver = "one".', default="the stream's first Region"),
    ] = None
    concurrency: Annotated[
        Annotated[int, Interval(ge=1, le=64)],
        Doc(
            "Keys whose events a function attempts at the same time, of one lane or of several; a key's own events "
            "never are."
        ),
    ] = 1
    start: Annotated[
        BeginsAt,
        Doc(
            'Where it begins. "earliest": with the oldest event that is kept. "latest": with what is published from '
            "its first doorbell in a Region on. A time: with what was published then or later."
        ),
    ] = "earliest"
    on_late: Annotated[
        OnLate,
        Doc(
            "What to do with an event that comes late: one of its key that was published later, in another Region, "
            'is handled already. "deliver": hand it out, with `event.late`. "reconcile": to the second function '
            'of the handler. "dead_letter": set it aside for somebody.'
        ),
    ] = "deliver"
    on_expired: Annotated[
        OnExpired,
        Doc(
            'What to do where records expired before they were delivered. "halt": stop there, until somebody looks. '
            '"skip": go on with the oldest that is kept; how many are skipped is counted and logged.'
        ),
    ] = "halt"
    replay: Annotated[
        bool,
        Doc(
            "Whether an operator may have it handed events again. false: what it did must not be done twice."
        ),
    ] = True
    retry: Annotated[Retry, Doc("What happens to an event whose attempt failed.")] = Retry()
    breaker: Annotated[
        Breaker, Doc("When to stop attempting, because what is downstream seems to be down.")
    ] = Breaker()
    slo: Annotated[
        Slo | None, Doc("How fast deliveries are to be, and how often they may be slower.", default="none")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition(_Table):
    """A whole fabric, resolved: no value is left to be looked up elsewhere."""

    fabric: Annotated[FabricSection, Doc("The fabric as a whole.")]
    streams: Annotated[
        Annotated[dict[Name, Stream], Len(1)], Doc("One table [streams.NAME] for each stream; at least one.")
    ]
    subscriptions: Annotated[
        dict[Name, Subscription], Doc("One table [subscriptions.NAME] for each subscription.", default="none")
    ] = field(default_factory=dict)


def to_json(definition: Definition) -> bytes:
    """The resolved definition as it ships to Lambda: equal definitions give equal bytes."""
    import msgspec

    return msgspec.json.encode(definition, order="sorted")


def from_json(data: bytes) -> Definition:
    """What `to_json` wrote; trusted, so only its shape is checked. Raises `msgspec.DecodeError`."""
    import msgspec

    return msgspec.json.decode(data, type=Definition)
