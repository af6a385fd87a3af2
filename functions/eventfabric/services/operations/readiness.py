"""Readiness: from what state a failover's target would go on, and what of the source's is not there yet.

Lanes are read at the same time, and where a lane ends is read once, for all subscriptions.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from eventfabric.errors import LogError, PortError, UndecodableItemError
from eventfabric.model import (
    EMPTY_TAIL,
    Lane,
    LaneKey,
    LaneState,
    Owner,
    ParkedState,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    Tail,
    tail_behind,
)
from eventfabric.ports import Ports
from eventfabric.services.delivery.side_by_side import SideBySide, results_of
from eventfabric.services.lanes.lane_end import believed_tail
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.lanes.unwanted import first_wanted
from eventfabric.services.operations.published_ends import published_ends
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology


@dataclass(frozen=True, slots=True)
class Readiness:
    """The state from which the target would go on, for one subscription and origin. None: the source does not answer.

    `waiting`: events in the target's log that are not handled yet, as far as it knows. `behind`: events of the log that
    the source has and the target has not. `repeated`: events that the target would handle again. `published`: events of
    the streams into which its handlers publish that the source has and the target has not.
    """

    subscription: SubscriptionTopology
    owner: Owner
    waiting: int
    retrying: int
    dead: int
    behind: int | None
    repeated: int | None
    published: int | None
    unreadable: tuple[str, ...] = ()
    """Reasons why lanes cannot be read. Each stops in the target, as it does now in the source."""


@dataclass(slots=True)
class _ReadyLane:
    """Counts of one lane, or of several. `unreadable`: why it cannot be read; empty: it can."""

    waiting: int = 0
    retrying: int = 0
    dead: int = 0
    behind: int = 0
    repeated: int = 0
    unreadable: str = ""

    def add(self, lane: "_ReadyLane") -> None:
        """Add the counts of another lane."""
        self.waiting += lane.waiting
        self.retrying += lane.retrying
        self.dead += lane.dead
        self.behind += lane.behind
        self.repeated += lane.repeated


class ReadinessReader:
    """Reads how ready the target of `ports` is to go on for `source`."""

    def __init__(
        self,
        topology: Topology,
        source: Region,
        *,
        ports: Ports,
        source_ports: Ports,
        side_by_side: SideBySide,
    ) -> None:
        self._topology = topology
        self._source = source
        self._ports = ports
        self._source_ports = source_ports
        self._side_by_side = side_by_side
        self._tails: dict[tuple[bool, str, Lane], Tail] = {}
        self._source_is_away = False

    def of(self, subscription: SubscriptionTopology, owner: Owner) -> Readiness:
        """Tell from what state the target would go on with an origin's lanes."""
        stream = self._topology.stream(subscription.definition.stream)
        lanes = [lane for lane in lanes_of(stream) if lane.origin == owner.origin]
        calls = [partial(self._of_tree, subscription, stream, lane) for lane in lanes]
        total, unreadable = _ReadyLane(), list[str]()
        for ready_lane in chain.from_iterable(results_of(calls, self._side_by_side)):
            total.add(ready_lane)
            unreadable += [ready_lane.unreadable] if ready_lane.unreadable else []
        published = self._published(subscription)
        ready = Readiness(
            subscription,
            owner,
            total.waiting,
            total.retrying,
            total.dead,
            total.behind,
            total.repeated,
            published,
            tuple(unreadable),
        )
        return replace(ready, behind=None, repeated=None, published=None) if self._source_is_away else ready

    def _of_tree(
        self, subscription: SubscriptionTopology, stream: StreamTopology, lane: Lane, start: Tail = EMPTY_TAIL
    ) -> list[_ReadyLane]:
        """Look at a lane, and at all that were split off from it."""
        ready = [self._of_lane(subscription, stream, lane, start)]
        ends = [self._tails.get((of_source, stream.name, lane)) for of_source in (False, True)]
        end = next((tail for tail in ends if tail is not None and tail.is_sealed), None)
        for child in lane.children if end is not None else ():
            assert end is not None, "only a lane that ended was split"
            ready += self._of_tree(subscription, stream, child, tail_behind(end))
        return ready

    def _of_lane(
        self, subscription: SubscriptionTopology, stream: StreamTopology, lane: Lane, start: Tail
    ) -> _ReadyLane:
        key = LaneKey(StreamName(stream.name), SubscriptionName(subscription.state_name), lane)
        try:
            state = self._ports.ledger.state(key)
            reached = max(start.sequence, _reached(state))
            # An end before the cursor is not believed: something behind it is lost, or not replicated yet.
            tail = self._tail(stream, lane, reached, start, of_source=False)
            log = self._ports.log_of(stream)
        except (LogError, UndecodableItemError) as error:
            return _ReadyLane(unreadable=str(error))
        # Keys of a lane that was passed wait in its children.
        waits = state.latest is not None and state.cursors[state.latest].past_seal is None
        parked = state.parked.get(state.latest, {}).values() if state.latest and waits else ()
        ready = _ReadyLane(
            waiting=max(0, tail.sequence - first_wanted(log, lane, state, subscription, tail, start)),
            retrying=sum(parked_key.state is ParkedState.RETRYING for parked_key in parked),
            dead=sum(parked_key.state is ParkedState.DEAD for parked_key in parked),
        )
        # A source that does not answer is not waited for again, for each lane and subscription.
        if not self._source_is_away:
            try:
                self._compare(ready, stream, key, tail, reached, start)
            except PortError:
                self._source_is_away = True
        return ready

    def _compare(
        self,
        ready: _ReadyLane,
        stream: StreamTopology,
        key: LaneKey,
        tail: Tail,
        reached: int,
        start: Tail,
    ) -> None:
        """Count what the source has of the lane's log and cursor that is not here. PortError if it does not answer."""
        with suppress(LogError, UndecodableItemError):  # this lane is left out of the count
            there = self._tail(stream, key.lane, tail.sequence, start, of_source=True)
            ready.behind = max(0, there.sequence - tail.sequence)
            ready.repeated = max(0, _reached(self._source_ports.ledger.state(key)) - reached)

    def _published(self, subscription: SubscriptionTopology) -> int:
        """Count what the source's handlers published that is not here."""
        if self._source_is_away:
            return 0
        try:
            ends = published_ends(self._topology, [subscription], self._source_ports, self._source)
            calls = [partial(end.missing_from, self._ports) for end in ends]
            return sum(results_of(calls, self._side_by_side))
        except PortError:
            self._source_is_away = True
            return 0

    def _tail(self, stream: StreamTopology, lane: Lane, past: int, start: Tail, *, of_source: bool) -> Tail:
        """Return where a lane ends, as it is believed by whoever knows that it goes past a place."""
        known = self._tails.get((of_source, stream.name, lane))
        # Read again for a cursor that is further on: it may know of records that the others did not.
        if known is not None and known.sequence >= past:
            return known
        ports = self._source_ports if of_source else self._ports
        now_ms = self._ports.clock.now_ms()
        log, known_past = ports.log_of(stream), SequenceNumber(past)
        tail = believed_tail(log, lane, past=known_past, now_ms=now_ms, start=start)
        self._tails[of_source, stream.name, lane] = tail
        return tail


def _reached(state: LaneState) -> int:
    return state.cursors[state.latest].sequence if state.latest else 0
