"""Leftovers: what nobody would deliver or see any more, once a Region is taken out of a stream.

These are events that it published, and those that it has to deliver: waiting, in parked keys, or dead letters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from eventfabric.definition.marks import parse_time_ms
from eventfabric.errors import LogError, Problem, UndecodableItemError
from eventfabric.model import (
    EMPTY_TAIL,
    START,
    AtTime,
    Cursor,
    Lane,
    LaneKey,
    LaneState,
    ParkedState,
    Region,
    Standing,
    StreamName,
    SubscriptionFilter,
    SubscriptionName,
    Tail,
    to_ms,
)
from eventfabric.model.catalogue import SubscriptionFacts
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import declared_subscription
from eventfabric.services.delivery.side_by_side import SideBySide, results_of
from eventfabric.services.lanes.lane_end import believed_tail
from eventfabric.services.lanes.locate import locate
from eventfabric.services.lanes.standing import lanes_of, ledger_of, owner_of
from eventfabric.services.lanes.unwanted import UnwantedRecords
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology


@dataclass(slots=True)
class _Left:
    """Counts of a subscription's lanes, and why some cannot be counted."""

    events: int = 0
    retrying: int = 0
    dead: int = 0
    unreadable: str = ""

    def add(self, other: "_Left") -> None:
        """Add the counts of more lanes."""
        self.events += other.events
        self.retrying += other.retrying
        self.dead += other.dead
        self.unreadable = self.unreadable or other.unreadable

    def __str__(self) -> str:
        counts = {
            "events that wait": self.events,
            "parked keys": self.retrying,
            "dead letters": self.dead,
        }
        known = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join([*known, *([self.unreadable] if self.unreadable else [])])


@dataclass(frozen=True)
class LeftoversReader:
    """Reads what a Region leaves behind, as far as it has come to the Region of `ports`."""

    ports: Ports
    side_by_side: SideBySide

    def __call__(
        self, stream: StreamTopology, subscriptions: Sequence[SubscriptionFacts], leaving: Region
    ) -> Iterator[Problem]:
        """Yield what is left for each of the subscriptions."""
        lanes = lanes_of(stream)
        calls = [partial(self._tail, stream, lane) for lane in lanes]
        tails = dict(zip(lanes, results_of(calls, self.side_by_side), strict=True))
        for facts in subscriptions:
            reader = _OfSubscription.of(facts, stream, leaving, self.ports)
            yield from reader.handed_over()
            counts = results_of(
                [partial(reader.count, lane, tails[lane]) for lane in lanes], self.side_by_side
            )
            if str(left := _total(counts)):
                yield Problem(
                    f"streams.{stream.name}.regions",
                    f"{leaving} taken out, where subscription {facts.name} has {left} left of it",
                    f"nothing left of it: wait, decide about dead letters, or `eventfabric subscriptions retire "
                    f"{facts.name}`",
                )

    def _tail(self, stream: StreamTopology, lane: Lane) -> Tail | LogError:
        try:
            now_ms = self.ports.clock.now_ms()
            return believed_tail(self.ports.log_of(stream), lane, past=EMPTY_TAIL.sequence, now_ms=now_ms)
        except LogError as error:
            return error


@dataclass(frozen=True)
class _OfSubscription:
    """One subscription, by its standing as the Region of `ports` knows it."""

    subscription: SubscriptionTopology
    stream: StreamTopology
    facts: SubscriptionFacts
    leaving: Region
    ports: Ports
    standing: Standing

    @classmethod
    def of(
        cls, facts: SubscriptionFacts, stream: StreamTopology, leaving: Region, ports: Ports
    ) -> "_OfSubscription":
        subscription = declared_subscription(stream.fabric, stream.definition, facts)
        name = SubscriptionName(subscription.state_name)
        standing = ports.ledger.standing(StreamName(stream.name), name)
        return cls(subscription, stream, facts, leaving, ports, standing)

    def handed_over(self) -> Iterator[Problem]:
        """Yield which other Regions' lanes the Region delivers, which nobody would deliver any more."""
        for origin in map(Region, self.stream.definition.regions):
            if origin != self.leaving and self._owner(origin) == self.leaving:
                yield Problem(
                    f"streams.{self.stream.name}.regions",
                    f"{self.leaving} taken out, where it delivers lanes of {origin} to subscription {self.facts.name}",
                    f"lanes of {origin} delivered elsewhere: `eventfabric failover` before",
                )

    def count(self, lane: Lane, tail: Tail | LogError) -> _Left:
        """Count what is left in a lane, for each Region that delivers it."""
        owner = self._owner(lane.origin)
        regions = [Region(name) for name in self.stream.definition.regions] if owner is None else [owner]
        if lane.origin != self.leaving:
            regions = [region for region in regions if region == self.leaving]
        if not regions:
            return _Left()
        if isinstance(tail, LogError):
            return _Left(unreadable=str(tail))
        key = LaneKey(StreamName(self.stream.name), SubscriptionName(self.subscription.state_name), lane)
        try:
            state = ledger_of(self.ports.ledger, self.subscription, lane.origin).state(key)
            return _total(
                [self._of_state(state, state.latest if owner else region, lane, tail) for region in regions]
            )
        except (LogError, UndecodableItemError) as error:
            return _Left(unreadable=str(error))

    def _of_state(self, state: LaneState, region: Region | None, lane: Lane, tail: Tail) -> _Left:
        """Count what a Region's state leaves; None: no Region has begun."""
        parked = [] if region is None else [*state.parked.get(region, {}).values()]
        cursor = state.cursors.get(region) if region is not None else None
        if cursor is None:
            cursor = self._begin(lane, tail)
        wanted = SubscriptionFilter.of(self.subscription.definition)
        log = self.ports.log_of(self.stream)
        ahead = UnwantedRecords(log, lane).ahead(cursor, wanted, until=tail.sequence)
        dead = sum(own.state is ParkedState.DEAD for own in parked)
        return _Left(max(0, tail.sequence - ahead.sequence), len(parked) - dead, dead)

    def _begin(self, lane: Lane, tail: Tail) -> Cursor:
        """Return where a lane begins that was never delivered; if that is not known, with its first event."""
        start = self.facts.start
        if start == "earliest" or tail == EMPTY_TAIL:
            return START
        since_ms = parse_time_ms(start)
        if since_ms is None:
            since_ms = min([self.facts.since_ms, *map(to_ms, self.standing.starts.values())])
        log = self.ports.log_of(self.stream)
        return locate(log, lane, AtTime(since_ms), end=tail) or START

    def _owner(self, origin: Region) -> Region | None:
        owner = owner_of(self.subscription, origin, self.standing)
        return None if owner is None else owner.region


def _total(counts: Sequence[_Left]) -> _Left:
    total = _Left()
    for count in counts:
        total.add(count)
    return total
