"""Removal: what keeps an event type from being taken away, by what was seen of it and how far subscriptions are."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from eventfabric.model import LaneKey, Parked, StreamName, SubscriptionName
from eventfabric.ports import Clock, Ledger
from eventfabric.services.lanes.standing import ledger_of, owner_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.services.operations.observation import Observation, SeenPlace
from eventfabric.services.operations.observed import occurrences_of, sources_of
from eventfabric.stream_topology import SubscriptionTopology

QUIET_DAYS: Final = 30
"""Days without an event after which nobody seems to publish a type any more."""
_DAY_MS: Final = 86_400_000


class Obstacle(StrEnum):
    """A reason why a type cannot go. Its value is what people read, with what it is about."""

    UNKNOWN = "nobody knows such a type: {about} neither names nor registers it, and no event of it was seen"
    PUBLISHED = "it is published by {about}"
    WAITING = "{about} has not handled all of it (events seen: {count})"
    PARKED = "{about} has parked it (keys: {count})"
    ASKED_FOR = "{about} asks for it by name"
    UNSEEN = "nobody knows if it was published before {about}: further back, the log was not read"
    UNREAD = "not all of the log can be read (parts: {count})"


@dataclass(frozen=True, slots=True)
class ObstacleToRemoval:
    """One such reason, what it is about, and how many there are."""

    kind: Obstacle
    about: str = ""
    count: int = 0

    def __str__(self) -> str:
        return self.kind.value.format(about=self.about, count=self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeReader:
    """A subscription that gets events of a type, and how far it is with them."""

    subscription: str
    asks_by_name: bool
    """The type is in its list; else it gets all types."""
    handled_ms: int = 0
    """Time of the newest event of the type that its cursor has passed; 0: none was seen."""
    waiting: int = 0
    """Events of the type, of those that were seen, that its cursor has not passed."""
    parked: int = 0
    """Keys that are parked with such an event."""


def reader_of(
    subscription: SubscriptionTopology,
    type_: str,
    observation: Observation,
    *,
    ledger: Ledger,
    clock: Clock,
) -> TypeReader:
    """Return how far a subscription is with a type: one read of each lane in which the type was seen, and its standing.

    By what this Region knows, whichever Region delivers. Errors as those of the ledger.
    """
    stream, name = StreamName(subscription.definition.stream), SubscriptionName(subscription.state_name)
    standing = ledger.standing(stream, name)
    handled_ms = waiting = parked = 0
    for (seen_type, lane), places in observation.places.items():
        if seen_type != type_:
            continue
        lane_ledger = ledger_of(ledger, subscription, lane.origin)
        state = whole_state(lane_ledger, LaneKey(stream, name, lane), clock=clock)
        owner = owner_of(subscription, lane.origin, standing)
        # Where Regions share one state, it stands under the lane's origin, whoever delivers.
        keeps_own = owner is None or subscription.home(lane.origin) is not None
        region = lane_ledger.region if owner is None or keeps_own else owner.region
        cursor = state.cursor(region)
        handled = [place for place in places if place.sequence < cursor.sequence]
        handled_ms = max([handled_ms, *(place.time_ms for place in handled)])
        waiting += len(places) - len(handled)
        parked += sum(_holds(own, type_, places) for own in state.parked.get(region, {}).values())
    return TypeReader(
        subscription=subscription.name,
        asks_by_name=type_ in (subscription.definition.types or ()),
        handled_ms=handled_ms,
        waiting=waiting,
        parked=parked,
    )


def _holds(parked: Parked, type_: str, places: Iterable[SeenPlace]) -> bool:
    """Tell if an event of a type waits in a parked key, as far as such events were seen."""
    sequences = {place.sequence for place in places}
    return parked.failure.event_type == type_ or any(own.sequence in sequences for own in parked.waiting)


def obstacles(
    type_: str,
    observation: Observation,
    readers: Sequence[TypeReader],
    *,
    now_ms: int,
    is_named: bool = True,
    unread: int = 0,
    quiet_days: int = QUIET_DAYS,
) -> Iterator[ObstacleToRemoval]:
    """Yield what keeps a type from being removed; nothing: it is safe.

    Args:
        type_: the type.
        observation: what was seen of its stream.
        readers: the subscriptions that get it.
        now_ms: the time, in milliseconds since 1970.
        is_named: the definition or the registry has the type; else it may be misspelt.
        unread: number of records and lanes that could not be read.
        quiet_days: days without an event after which nobody seems to publish it any more.
    """
    quiet_since_ms = now_ms - quiet_days * _DAY_MS
    seen = occurrences_of(observation, type_)
    if seen is None and not is_named:
        yield ObstacleToRemoval(Obstacle.UNKNOWN, "the stream")
    if seen is not None and seen.last_ms >= quiet_since_ms:
        yield ObstacleToRemoval(Obstacle.PUBLISHED, ", ".join(sources_of(observation, type_)), seen.count)
    for own in readers:
        yield from _of_reader(own)
    since_ms = observation.since_ms(now_ms=now_ms)
    if not observation.is_whole and (since_ms > quiet_since_ms or observation.events_beyond):
        yield ObstacleToRemoval(
            Obstacle.UNSEEN, datetime.fromtimestamp(since_ms / 1000, UTC).isoformat(timespec="seconds")
        )
    if unread:
        yield ObstacleToRemoval(Obstacle.UNREAD, count=unread)


def _of_reader(own: TypeReader) -> Iterator[ObstacleToRemoval]:
    if own.waiting:
        yield ObstacleToRemoval(Obstacle.WAITING, own.subscription, own.waiting)
    if own.parked:
        yield ObstacleToRemoval(Obstacle.PARKED, own.subscription, own.parked)
    if own.asks_by_name:
        yield ObstacleToRemoval(Obstacle.ASKED_FOR, own.subscription)
