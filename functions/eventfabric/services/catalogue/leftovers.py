"""Leftovers: what nobody would deliver or see any more, once a Region is taken out of a stream.

These are events that it published, and those that it has to deliver: waiting, in parked keys, or dead letters.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from eventfabric import limits
from eventfabric.definition.marks import parse_time_ms
from eventfabric.errors import LastingError, LogError, PortError, Problem, UndecodableItemError
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
    SchemaLane,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionFilter,
    SubscriptionName,
    Tail,
    tail_behind,
    to_ms,
)
from eventfabric.model.catalogue import SubscriptionFacts
from eventfabric.ports import Log, Ports
from eventfabric.services.catalogue.facts import declared_subscription
from eventfabric.services.delivery.side_by_side import SideBySide, results_of
from eventfabric.services.lanes.lane_end import believed_tail
from eventfabric.services.lanes.locate import locate
from eventfabric.services.lanes.standing import lanes_of, ledger_of, owner_of
from eventfabric.services.lanes.unwanted import UnwantedRecords, begun_at
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology


@dataclass(slots=True)
class LeftCounts:
    """Counts of a subscription's lanes, and why some cannot be counted."""

    events: int = 0
    retrying: int = 0
    dead: int = 0
    unreadable: str = ""

    def add(self, other: "LeftCounts") -> None:
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
    """Reads what a Region leaves behind: its lanes there, and the state of each Region that delivers in that Region.

    What has been replicated is not enough: events may be on their way, and a cursor may have come before the parked
    keys that were written with it. `lost`: Regions that are gone for good. Nothing else is known of them.
    """

    ports: Ports
    side_by_side: SideBySide
    lost: Collection[str] = ()

    def __call__(
        self, stream: StreamTopology, subscriptions: Sequence[SubscriptionFacts], leaving: Region
    ) -> Iterator[Problem]:
        """Yield what is left for each of the subscriptions, or that a Region gives no answer about that."""
        try:
            yield from self._left(stream, subscriptions, leaving)
        except PortError as error:
            yield not_known(stream, leaving, error)

    def _left(
        self, stream: StreamTopology, subscriptions: Sequence[SubscriptionFacts], leaving: Region
    ) -> Iterator[Problem]:
        yield from self._of_schemas(stream, leaving)
        tails: dict[Lane, Tail | LogError] = {}
        lanes = lanes_of(stream)
        while lanes:
            calls = [partial(self._tail, stream, lane, leaving, start_in(tails, lane)) for lane in lanes]
            ends = dict(zip(lanes, results_of(calls, self.side_by_side), strict=True))
            tails |= ends
            split = [lane for lane, end in ends.items() if isinstance(end, Tail) and end.is_sealed]
            lanes = [child for lane in split for child in lane.children]
        for facts in subscriptions:
            reader = replace(LeftReader.of(facts, stream, self.ports), read_in=self._ports_in)
            yield from self._handed_over(reader, leaving)
            yield from self._known_otherwise(reader, leaving)
            if str(left := reader.left_by(leaving, tails, self.side_by_side)):
                yield Problem(
                    f"streams.{stream.name}.regions",
                    f"{leaving} taken out, where subscription {facts.name} has {left} left of it",
                    f"nothing left of it: wait, decide about dead letters, or `eventfabric subscriptions retire "
                    f"{facts.name}`",
                )

    def _of_schemas(self, stream: StreamTopology, leaving: Region) -> Iterator[Problem]:
        """Yield which schemas only the Region has that leaves: those that it registered, or Regions before it.

        What neither has is lost, and keeps nobody.
        """
        if leaving in self.lost:
            return
        for origin in map(Region, (leaving, *stream.former)):
            lane = SchemaLane.of(origin, StreamName(stream.name))
            try:
                there = _places(self._ports_in(leaving).log_of(stream), lane)
                lacking = there - (_places(self.ports.log_of(stream), lane) if there else frozenset())
                left = f"has a record at {min(lacking)}, which has not come here" if lacking else ""
            except LogError as error:
                left = f"cannot be compared ({error.reason})"
            if left:
                yield Problem(
                    f"streams.{stream.name}.regions",
                    f"{leaving} taken out, where lane {lane} {left}",
                    "schemas that have come here: wait, or `eventfabric reconcile --repair`",
                )

    def _ports_in(self, region: Region) -> Ports:
        return self.ports if region in self.lost else self.ports.at(region)

    def _tail(self, stream: StreamTopology, lane: Lane, leaving: Region, start: Tail) -> Tail | LogError:
        ports = self._ports_in(leaving) if lane.origin == leaving else self.ports
        try:
            now_ms = ports.clock.now_ms()
            log, past = ports.log_of(stream), start.sequence
            return believed_tail(log, lane, past=past, now_ms=now_ms, start=start)
        except LogError as error:
            return error

    def _known_otherwise(self, reader: "LeftReader", leaving: Region) -> Iterator[Problem]:
        """Yield whose lanes were handed over, as only one of both Regions knows: the one that leaves, or this one."""
        there = LeftReader.of(reader.facts, reader.stream, self._ports_in(leaving))
        for origin in map(Region, reader.stream.definition.regions):
            if there.owner(origin) != reader.owner(origin):
                yield Problem(
                    f"streams.{reader.stream.name}.regions",
                    f"{leaving} taken out, where it is known otherwise than here who delivers lanes of {origin} to "
                    f"subscription {reader.facts.name}",
                    "a handover that has come to both Regions",
                )

    def _handed_over(self, reader: "LeftReader", leaving: Region) -> Iterator[Problem]:
        """Yield which other Regions' lanes the Region delivers, which nobody would deliver any more."""
        stream = reader.stream
        for origin in map(Region, stream.definition.regions):
            if origin != leaving and reader.owner(origin) == leaving:
                yield Problem(
                    f"streams.{stream.name}.regions",
                    f"{leaving} taken out, where it delivers lanes of {origin} to subscription {reader.facts.name}",
                    f"lanes of {origin} delivered elsewhere: `eventfabric failover` before",
                )


@dataclass(frozen=True)
class LeftReader:
    """Counts what is left of one subscription, by its standing as the Region of `ports` knows it."""

    subscription: SubscriptionTopology
    stream: StreamTopology
    facts: SubscriptionFacts
    ports: Ports
    standing: Standing
    read_in: Callable[[Region], Ports] | None = None
    """Returns the ports with which a Region's lanes and state are read there; None: all are read with `ports`, as far
    as they have come to that Region."""

    @classmethod
    def of(cls, facts: SubscriptionFacts, stream: StreamTopology, ports: Ports) -> "LeftReader":
        """Read the standing of the subscription. PortError, UndecodableItemError."""
        subscription = declared_subscription(stream.fabric, stream.definition, facts)
        name = SubscriptionName(subscription.state_name)
        standing = ports.ledger.standing(StreamName(stream.name), name)
        return cls(subscription, stream, facts, ports, standing)

    def left_by(
        self,
        leaving: Region,
        tails: Mapping[Lane, Tail | LogError],
        side_by_side: SideBySide,
        *,
        with_its_own: bool = True,
        log_regions: Collection[str] | None = None,
    ) -> LeftCounts:
        """Count what a Region has to deliver, and of its own lanes also what others have.

        Args:
            leaving: the Region.
            tails: where the lanes end that count, or why one cannot be read.
            side_by_side: makes the calls, one for each lane that the Region has something of.
            with_its_own: False: only what the Region itself has to deliver.
            log_regions: Regions whose lanes may be read in the log; None: all. Of others, events that nobody wants
                may be among those that wait.
        """
        calls = [
            partial(
                self._count,
                lane,
                tail,
                regions,
                start_in(tails, lane),
                reads_log=log_regions is None or lane.origin in log_regions,
            )
            for lane, tail in tails.items()
            if (regions := self._delivering(lane, leaving, with_its_own=with_its_own))
        ]
        return _total(results_of(calls, side_by_side))

    def owner(self, origin: Region) -> Region | None:
        """Return who delivers an origin's lanes; None: every Region does."""
        owner = owner_of(self.subscription, origin, self.standing)
        return None if owner is None else owner.region

    def _delivering(self, lane: Lane, leaving: Region, *, with_its_own: bool) -> list[Region]:
        """Return the Regions that deliver a lane and whose state counts."""
        owner = self.owner(lane.origin)
        regions = [Region(name) for name in self.stream.definition.regions] if owner is None else [owner]
        if with_its_own and lane.origin == leaving:
            return regions
        return [region for region in regions if region == leaving]

    def _count(
        self, lane: Lane, tail: Tail | LogError, regions: Sequence[Region], start: Tail, *, reads_log: bool
    ) -> LeftCounts:
        """Count what is left in a lane, for each Region that delivers it."""
        if isinstance(tail, LogError):
            return LeftCounts(unreadable=str(tail))
        key = LaneKey(StreamName(self.stream.name), SubscriptionName(self.subscription.state_name), lane)
        is_owned = self.owner(lane.origin) is not None
        try:
            return _total(
                [
                    self._in_region(region, key, tail, start, is_owned=is_owned, reads_log=reads_log)
                    for region in regions
                ]
            )
        except (LogError, UndecodableItemError) as error:
            return LeftCounts(unreadable=str(error))

    def _in_region(
        self, region: Region, key: LaneKey, tail: Tail, start: Tail, *, is_owned: bool, reads_log: bool
    ) -> LeftCounts:
        """Count what a Region that delivers a lane leaves, by the state that it has itself."""
        ledger = self._ports_in(region).ledger
        state = ledger_of(ledger, self.subscription, key.lane.origin).state(key)
        by = state.latest if is_owned else region
        return self._of_state(state, by, key.lane, tail, start, reads_log=reads_log)

    def _ports_in(self, region: Region) -> Ports:
        return self.ports if self.read_in is None else self.read_in(region)

    def _of_state(
        self,
        state: LaneState,
        region: Region | None,
        lane: Lane,
        tail: Tail,
        start: Tail,
        *,
        reads_log: bool,
    ) -> LeftCounts:
        """Count what a Region's state leaves; None: no Region has begun."""
        parked = [] if region is None else [*state.parked.get(region, {}).values()]
        cursor = state.cursors.get(region) if region is not None else None
        if cursor is None:
            cursor = self._begin(lane, tail, reads_log) if lane.is_root else START
        if cursor.past_seal is not None:
            parked = []  # they wait in its children
        cursor = begun_at(start, cursor)
        if reads_log:
            wanted = SubscriptionFilter.of(self.subscription.definition)
            unwanted = UnwantedRecords(self._log_of(lane), lane)
            cursor = unwanted.ahead(cursor, wanted, until=tail.sequence)
        dead = sum(own.state is ParkedState.DEAD for own in parked)
        return LeftCounts(max(0, tail.sequence - cursor.sequence), len(parked) - dead, dead)

    def _begin(self, lane: Lane, tail: Tail, reads_log: bool) -> Cursor:
        """Return where a lane begins that was never delivered; if that is not known, with its first event.

        At its end, if only the log could tell and may not be read: then nobody may ever have waited for it.
        """
        start = self.facts.start
        if start == "earliest" or tail == EMPTY_TAIL:
            return START
        if not reads_log:
            return replace(START, sequence=tail.sequence, base=tail.sequence)
        since_ms = parse_time_ms(start)
        if since_ms is None:
            since_ms = min([self.facts.since_ms, *map(to_ms, self.standing.starts.values())])
        return locate(self._log_of(lane), lane, AtTime(since_ms), end=tail) or START

    def _log_of(self, lane: Lane) -> Log:
        return self._ports_in(lane.origin).log_of(self.stream)


def start_in(tails: Mapping[Lane, Tail | LogError], lane: Lane) -> Tail:
    """Return the tail with which a lane begins, by where its parent ends."""
    end = EMPTY_TAIL if lane.is_root else tails.get(lane.parent, EMPTY_TAIL)
    if not isinstance(end, Tail):
        return EMPTY_TAIL
    return tail_behind(end) if end.is_sealed else end


def _places(log: Log, lane: Lane) -> frozenset[SequenceNumber]:
    """Return the first sequences of all records of a lane that a log has: they are replicated in any order."""
    places, start = set[SequenceNumber](), EMPTY_TAIL.sequence
    while page := log.read(lane, start, records_max=limits.PAGE_RECORDS_MAX).records:
        places.update(record.sequence for record in page)
        start = page[-1].tail.sequence
    return frozenset(places)


def _total(counts: Sequence[LeftCounts]) -> LeftCounts:
    total = LeftCounts()
    for count in counts:
        total.add(count)
    return total


def not_known(stream: StreamTopology, leaving: Region, error: PortError) -> Problem:
    """Describe that a Region gives no answer. Raises the error if a right is missing, which may be new."""
    if isinstance(error, LastingError) and error.is_of_rights:
        raise error
    return Problem(
        f"streams.{stream.name}.regions",
        f"{leaving} taken out, where it is not known if something is left of it: {error}",
        f"{leaving} and the Regions that deliver its events able to answer; or a Region that is gone for good in "
        "`[fabric] lost`",
    )
