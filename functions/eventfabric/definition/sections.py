"""Sections: the tables inside those of streams and subscriptions, and the choices that their keys allow."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

from annotated_types import Interval

from eventfabric.definition.marks import Date, Doc, EventType, Note, Reference, Table

Schemas: TypeAlias = Literal["optional", "required"]
ATTEMPTS_MAX: Final = 64
Attempts: TypeAlias = Annotated[int, Interval(ge=1, le=ATTEMPTS_MAX)]
Concurrency: TypeAlias = Attempts | Literal["auto"]


class Compatibility(StrEnum):
    """A promise about a type's versions. Its value is its name in a definition.

    Writers are closed: they publish no member that their schema does not name. Readers are open: they ignore what they
    do not know. So an optional member may come and go under each of these.
    """

    NONE = "none"
    BACKWARD = "backward"
    FORWARD = "forward"
    FULL = "full"
    BACKWARD_TRANSITIVE = "backward_transitive"
    FORWARD_TRANSITIVE = "forward_transitive"
    FULL_TRANSITIVE = "full_transitive"

    @property
    def meaning(self) -> str:
        """The promise in words, as the reference of the definition has it."""
        match self:
            case Compatibility.NONE:
                return "nothing is promised."
            case Compatibility.BACKWARD:
                return "a reader of the new version accepts what was published under the last one."
            case Compatibility.FORWARD:
                return "a reader of the last version accepts what is published under the new one."
            case Compatibility.FULL:
                return "both."
            case Compatibility.BACKWARD_TRANSITIVE:
                return "as backward, with all versions before."
            case Compatibility.FORWARD_TRANSITIVE:
                return "as forward, with all versions before."
            case Compatibility.FULL_TRANSITIVE:
                return "as full, with all versions before."

    @property
    def reads_earlier(self) -> bool:
        """A reader of the new version must accept what was published under earlier ones."""
        return self.startswith(("backward", "full"))

    @property
    def is_read_earlier(self) -> bool:
        """A reader of an earlier version must accept what is published under the new one."""
        return self.startswith(("forward", "full"))

    @property
    def is_transitive(self) -> bool:
        """It concerns all versions before, not only the last."""
        return self.endswith("_transitive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation(Table):
    """The announced end of an event type. Days begin and end in UTC."""

    since: Annotated[Date, Doc("Day since which producers and subscriptions are to do without the type.")]
    sunset: Annotated[
        Date | None,
        Doc(
            "First day on which publishing it is refused. It may be put off, and not be brought forward.",
            default="never",
        ),
    ] = None
    use: Annotated[EventType | None, Doc("Type to publish instead.", default="none")] = None
    why: Annotated[Note | None, Doc("The reason, for those who are warned.", default="none")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeSection(Table):
    """An event type of one stream. Types need no table here, unless something is to be said of them."""

    compatibility: Annotated[
        Compatibility | None,
        Doc("Promise that each new version of the type's schema must keep.", default="the stream's"),
    ] = None
    deprecated: Annotated[
        Deprecation | None, Doc("The announced end of the type.", default="it is not deprecated")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Table):
    """Retries of an event whose attempt failed."""

    immediate: Annotated[
        Annotated[int, Interval(ge=0, le=10)],
        Doc("Retries that follow the first attempt at once, before the key is parked."),
    ] = 2
    attempts: Annotated[
        Annotated[int, Interval(ge=1, le=100)],
        Doc(
            "Failed attempts after which an event is a dead letter, and its key waits for a redrive or discard."
        ),
    ] = 8
    backoff_seconds: Annotated[
        Annotated[float, Interval(ge=0.05, le=900)],
        Doc(
            "Upper bound of the wait before the first retry of a parked key, in seconds. It doubles each time."
        ),
    ] = 1.0
    backoff_max_seconds: Annotated[
        Annotated[float, Interval(ge=0.05, le=900)], Doc("Upper bound of every wait, in seconds.")
    ] = 900.0
    permanent: Annotated[
        tuple[Reference, ...],
        Doc(
            "Exception types, as package.module:Name, that no retry can help: the event is a dead letter at once."
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker(Table):
    """Conditions under which deliveries stop, because a system that the handler calls seems to be down."""

    failure_ratio: Annotated[
        Annotated[float, Interval(ge=0.01, le=1)],
        Doc("Share of attempts that fail, at which deliveries stop."),
    ] = 0.5
    parked_keys: Annotated[
        Annotated[int, Interval(ge=1, le=1000)],
        Doc("Number of parked keys in one lane, at which deliveries stop."),
    ] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo(Table):
    """A service level objective in each Region: how fast deliveries must be, and how often they may be slower."""

    latency_ms: Annotated[
        Annotated[int, Interval(ge=1, le=86_400_000)],
        Doc("Milliseconds from append to commit. A minute is good if 99% of its runs took no longer."),
    ]
    on_time_ratio: Annotated[
        Annotated[float, Interval(ge=0.5, le=0.9999)],
        Doc("Share of the minutes with deliveries that must be good."),
    ] = 0.99
    days: Annotated[
        Annotated[int, Interval(ge=1, le=90)], Doc("Number of past days over which minutes are counted.")
    ] = 28


class WhilePaused(StrEnum):
    """The lot of producers that a subscription holds back, while it is paused."""

    PASS = "pass"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backpressure(Table):
    """How far producers may be ahead of a subscription, in each lane, before they are held back."""

    seconds: Annotated[
        Annotated[int, Interval(ge=5, le=300)],
        Doc("Seconds of what the subscription drained lately, by which producers may be ahead."),
    ] = 10
    events_min: Annotated[
        Annotated[int, Interval(ge=1, le=100_000)],
        Doc("Events by which producers may always be ahead in a lane, however little was drained."),
    ] = 16
    while_paused: Annotated[
        WhilePaused,
        Doc('While the subscription is paused, producers go on ("pass"), or are held back ("hold").'),
    ] = WhilePaused.PASS
