"""Abandoned: what is left of subscriptions that nobody delivers any more and nobody has retired.

    here      its stack was deleted: declared as undeployed                              each Region, of its own
    there     all of a Region was deleted, or the stream has left it                     the first Region with functions

Nobody rings for these, and a pass looks at no lane for them. So what is declared is looked through at the end of each
pass. It is counted what waits where something is declared so, and anew only where the lanes have grown, or once an
hour; and at each pass for as long as something is left.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Final

from eventfabric import limits
from eventfabric.deadline import Moment
from eventfabric.errors import LogError, UndecodableItemError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    DeclarationLane,
    Generation,
    Lane,
    LaneIndex,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    Tail,
)
from eventfabric.model.catalogue import Declaration, Declared, State, SubscriptionFacts
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.model.partly_read import readable_of, unread_of
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import declared_stream
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.catalogue.leftovers import LeftCounts, LeftReader
from eventfabric.services.delivery.side_by_side import SideBySide, results_of
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.checked_lane import unreadable
from eventfabric.services.reconciliation.parts import PassPart, parts_of
from eventfabric.stream_topology import StreamTopology

_DEPLOYS_SECONDS: Final = limits.UNRUNG_SECONDS
"""Time after a declaration in which a deployment may still be under way, such as one that deploys a stack again."""

_Key = tuple[str, str, int, bool]


@dataclass(frozen=True)
class _Candidate:
    """A subscription that nobody delivers in a Region. `has_left`: the stream is not in that Region any more."""

    region: Region
    facts: SubscriptionFacts
    was: StreamTopology
    """The stream, as the Region has declared it."""
    has_left: bool

    @property
    def key(self) -> _Key:
        """Return what tells it from others, and from itself in another state."""
        return self.region, self.facts.name, self.facts.incarnation, self.has_left

    def describe(self, left: LeftCounts) -> str:
        """Say why nobody delivers it, and what it has left."""
        why = "the stream has left" if self.has_left else "it is not deployed any more in"
        return f"{why} {self.region}, where it has {left}"


@dataclass(frozen=True)
class _Nothing:
    """Memory that nothing was left, of which subscriptions, and how far the lanes went then."""

    keys: tuple[_Key, ...]
    sequences: Mapping[Lane, SequenceNumber]
    since: Moment

    def holds(self, keys: tuple[_Key, ...], sequences: Mapping[Lane, SequenceNumber], now: Moment) -> bool:
        """Tell if nothing can have changed since, other than what is looked for once an hour."""
        is_same = (self.keys, self.sequences) == (keys, sequences)
        return is_same and self.since.is_within(pass_bounds.REST_SECONDS, now)


class AbandonedReader:
    """Finds what is abandoned of a fabric's streams, as one Region sees it. It remembers where nothing was left."""

    def __init__(self, region: Region, ports: Ports, side_by_side: SideBySide) -> None:
        self._region = region
        self._ports = ports
        self._side_by_side = side_by_side
        self._nothing: dict[str, _Nothing] = {}

    def findings(
        self,
        stream: StreamTopology,
        own: Declaration | None,
        unread: UndecodableRecordError | None = None,
    ) -> Iterator[Finding]:
        """Yield a finding for each subscription of a stream with something left, and for what cannot be read.

        PortError: not all of it is known. One read for each other Region, by the first one, and of that one by the
        others; no other where all is deployed.

        Args:
            stream: the stream.
            own: the Region's declaration by which the pass goes; None: nothing is declared.
            unread: why that is not the newest.
        """
        if unread is not None:
            yield self._unreadable(stream, self._region, unread)
        if own is None:
            return
        for subscription in unread_of(own.subscriptions).values():
            yield self._unreadable(stream, self._region, subscription.error)
        candidates = list(self._here(stream, own))
        for region in self._elsewhere(stream, own):
            try:
                candidates += self._there(stream, own, region)
            except LogError as error:
                yield self._unreadable(stream, region, error)
        if candidates:
            yield from self._counted(stream, candidates)

    def _here(self, stream: StreamTopology, own: Declaration) -> Iterator[_Candidate]:
        if self._may_be_deploying(own):
            return
        was = declared_stream(stream.fabric, own)
        for facts in readable_of(own.subscriptions).values():
            if facts.state is State.UNDEPLOYED:
                yield _Candidate(self._region, facts, was, has_left=False)

    def _elsewhere(self, stream: StreamTopology, own: Declaration) -> list[Region]:
        """Return the Regions that this one looks at, because they may have no function that does."""
        earlier = takewhile(lambda region: region != self._region, own.stream.regions)
        if any(self._has_functions(stream, Region(region)) for region in earlier):
            return []
        others = dict.fromkeys([*own.stream.regions, *own.stream.former_regions])
        return [Region(name) for name in others if name != self._region]

    def _has_functions(self, stream: StreamTopology, region: Region) -> bool:
        """Tell if a Region's functions look for themselves, as they do unless it has declared that they are gone."""
        try:
            known = self._declared(stream, region)
        except LogError:
            return True
        return known is None or known.declaration.stream.is_deployed

    def _declared(self, stream: StreamTopology, region: Region) -> Declared | None:
        return newest(self._ports.log_of(stream), DeclarationLane.of(region, StreamName(stream.name)))

    def _unreadable(self, stream: StreamTopology, region: Region, error: LogError) -> Finding:
        name = StreamName(stream.name)
        return unreadable(name, self._region, DeclarationLane.of(region, name), error)

    def _there(self, stream: StreamTopology, own: Declaration, region: Region) -> Iterator[_Candidate]:
        known = self._declared(stream, region)
        if known is None or self._may_be_deploying(known.declaration):
            return
        declaration = known.declaration
        has_left = region not in own.stream.regions
        if not has_left and declaration.stream.is_deployed:
            return  # it looks at its own
        was = declared_stream(stream.fabric, declaration)
        decided = readable_of(own.subscriptions)
        for facts in readable_of(declaration.subscriptions).values():
            if facts.state is not State.RETIRED and not _is_decided(decided.get(facts.name), facts):
                yield _Candidate(region, facts, was, has_left)

    def _may_be_deploying(self, declaration: Declaration) -> bool:
        since_ms = self._ports.clock.now_ms() - declaration.change.at_ms
        return 0 <= since_ms < 1000 * _DEPLOYS_SECONDS

    def _counted(self, stream: StreamTopology, candidates: list[_Candidate]) -> Iterator[Finding]:
        """Yield a finding for each candidate with something left, unless nothing can have changed since none had."""
        parts = {part for own in candidates for part in parts_of(own.was) if not part.is_declared}
        tails = self._tails(parts, stream)
        now = Moment.of(self._ports.clock)
        keys = tuple(own.key for own in candidates)
        sequences = {lane: tail.sequence for lane, tail in tails.items()}
        before = self._nothing.pop(stream.name, None)
        if before is not None and before.holds(keys, sequences, now):
            self._nothing[stream.name] = before
            return
        has_any = False
        for own in candidates:
            if text := self._left(stream, own, tails):
                has_any = True
                yield _finding(stream, self._region, own, text)
        if not has_any:
            self._nothing[stream.name] = _Nothing(keys, sequences, now)

    def _left(self, stream: StreamTopology, own: _Candidate, tails: Mapping[Lane, Tail]) -> str:
        """Return what is left of a candidate, as text; empty: nothing."""
        try:
            reader = LeftReader.of(own.facts, own.was, self._ports)
        except UndecodableItemError as error:
            return own.describe(LeftCounts(unreadable=str(error)))
        left = reader.left_by(
            own.region,
            {lane: tail for lane, tail in tails.items() if _counts(lane, own, reader)},
            self._side_by_side,
            with_its_own=own.has_left,
            log_regions=stream.definition.regions,  # a function may read no others
        )
        return own.describe(left) if str(left) else ""

    def _tails(self, parts: set[PassPart], stream: StreamTopology) -> dict[Lane, Tail]:
        """Return how far passes of this Region have verified lanes: one read for each origin."""
        origins = sorted({part.marked_as for part in parts})
        name, ledger = StreamName(stream.name), self._ports.ledger
        calls = [partial(ledger.marks, name, origin) for origin in origins]
        by_origin = dict(zip(origins, results_of(calls, self._side_by_side), strict=True))
        lanes = [lane for part in sorted(parts, key=str) for lane in part.lanes]
        # What was split off from these has a mark since a pass has verified the seal.
        known = [
            lane_of_number(origin, number) for origin, marks in by_origin.items() for number in marks.lanes
        ]
        roots = set(lanes)
        lanes += sorted(lane for lane in known if not lane.is_root and lane.root in roots)
        tails: dict[Lane, Tail] = {}
        for lane in lanes:
            mark = by_origin[lane.origin].of(lane.number)
            tails[lane] = Tail(mark.sequence, mark.chain, EMPTY_TAIL.time)
        return tails


def lane_of_number(origin: Region, number: int) -> Lane:
    """Return the lane of that number."""
    generation, index = divmod(number, limits.LANES_MAX)
    return Lane(origin, Generation(generation), LaneIndex(index))


def _counts(lane: Lane, own: _Candidate, reader: LeftReader) -> bool:
    """Tell if a Region that the stream may have left has anything to do with a lane.

    Where every Region delivers for itself, nobody waits any more for what others publish to be delivered in that one.
    """
    return not own.has_left or lane.origin == own.region or reader.owner(lane.origin) is not None


def _is_decided(own: SubscriptionFacts | None, facts: SubscriptionFacts) -> bool:
    """Tell if an operator has retired a subscription, by what another Region declares of it."""
    if own is None:
        return False
    return own.incarnation > facts.incarnation or (
        own.state is State.RETIRED and own.incarnation == facts.incarnation
    )


def _finding(stream: StreamTopology, region: Region, own: _Candidate, text: str) -> Finding:
    return Finding(
        FindingKind.ABANDONED,
        StreamName(stream.name),
        Lane(own.region, GENERATION_FIRST, LaneIndex(0)),
        region,
        EMPTY_TAIL.sequence,
        text,
        SubscriptionName(own.facts.name),
    )
