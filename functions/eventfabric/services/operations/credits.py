"""Credits: how far producers of a stream may go on in each lane, and letting them go further (decision 0083).

    look        for each subscription that holds producers back: lanes, what is granted there, and why no more is
    open        grants beyond the ends of the lanes, as if the subscription had delivered everything

Grants only grow, so whatever is interrupted or done twice takes nothing back. Lanes that were never granted anything
are not gated, and stay so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final

from eventfabric.definition.sections import WhilePaused
from eventfabric.errors import PortError, SettingError, UndecodableItemError
from eventfabric.model import (
    EMPTY_TAIL,
    CircuitState,
    Cursor,
    Lane,
    LaneKey,
    Marks,
    Region,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionName,
    Tail,
    marked_as,
    part_of,
    to_ms,
)
from eventfabric.model.catalogue import State
from eventfabric.model.credit import greatest
from eventfabric.ports import Ports, insist
from eventfabric.services.catalogue.incarnations import DeclaredTopology, delivered_subscription
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another, results_of
from eventfabric.services.delivery.takeover import region_that_counts
from eventfabric.services.lanes.splits import Unreadable
from eventfabric.services.lanes.standing import lanes_of, ledger_of, owner_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology
from eventfabric.wire.keys import credit_part

OPEN_SECONDS_MIN: Final = 1
OPEN_SECONDS_MAX: Final = 86_400
"""Bounds of the time for which producers may be let go on at once."""


class Why(StrEnum):
    """Reason why producers of a lane are granted nothing more."""

    BEHIND = "behind"
    """The subscription delivers what they published before, or delivers nothing."""
    REPLAYED = "replayed"
    """A replay is under way, and what is new waits behind it."""
    CIRCUIT_OPEN = "circuit open"
    PAUSED = "paused"
    """It holds them while it is paused."""
    PAUSED_RUNG = "paused, rung"
    """It lets them go on while it is paused, once the lane is rung."""
    IDLE = "idle"
    """Everything is delivered: a grant was lost, and the next pass of reconciliation has the lane rung."""
    NO_ANSWER = "no answer"
    """The Region that delivers the lane does not answer."""


@dataclass(frozen=True, slots=True)
class GatedLane:
    """A lane that a subscription gates, as one Region sees it.

    `region` delivers it. `granted`: the sequence up to which producers may append. `why`: if it ends at its grant, the
    reason, and `since_ms` the time since when; None: more may be appended.
    """

    subscription: SubscriptionTopology
    lane: Lane
    region: Region
    tail: Tail
    granted: SequenceNumber
    cursor: Cursor
    why: Why | None = None
    since_ms: int = 0

    @property
    def is_short(self) -> bool:
        """Tell if nothing may be appended."""
        return self.granted <= self.tail.sequence

    @property
    def left(self) -> int:
        """Number of events that producers may still append."""
        return max(0, self.granted - self.tail.sequence)

    @property
    def waiting(self) -> int:
        """Number of events that wait to be delivered."""
        return max(0, self.tail.sequence - self.cursor.sequence)


@dataclass(frozen=True, slots=True)
class Opening:
    """A lane whose producers are to be let go on: up to `granted`, from what the lane was granted before."""

    gated: GatedLane
    granted: SequenceNumber

    @property
    def more(self) -> int:
        """Number of events that may be appended beyond what was granted before."""
        return max(0, self.granted - self.gated.granted)


class Gates:
    """Subscriptions that hold producers of a stream back, as one Region sees them."""

    def __init__(
        self,
        stream: StreamTopology,
        gates: Iterable[SubscriptionTopology],
        *,
        ports: Ports,
        side_by_side: SideBySide = one_after_another,
    ) -> None:
        """`gates`: subscriptions of the stream with `backpressure`. `side_by_side`: reads several lanes at once."""
        self.gates = tuple(gates)
        self.unanswered: dict[Region, str] = {}
        """Regions that did not answer, and why."""
        self._stream, self._name = stream, StreamName(stream.name)
        self._ports = ports
        self._region = ports.ledger.region
        self._side_by_side = side_by_side
        self._standings: dict[tuple[Region, str], Standing] = {}
        self._marks: dict[tuple[Region, Region, str], Marks] = {}

    def lanes(self, *, unreadable: Unreadable = insist) -> list[GatedLane]:
        """List the lanes that are gated, subscription by subscription. PortError.

        `unreadable`: told of each lane that cannot be read, which is left out; default: raise that error.
        """
        self._standings, self._marks = {}, {}
        if not self.gates:
            return []
        log, now_ms = self._ports.log_of(self._stream), self._ports.clock.now_ms()
        calls = [
            partial(tails_of, log, [lane], now_ms=now_ms, unreadable=unreadable)
            for lane in lanes_of(self._stream)
        ]
        tails: dict[Lane, Tail] = {}
        for read in results_of(calls, self._side_by_side):
            tails |= read
        return [own for gate in self.gates for own in self._of_gate(gate, tails, unreadable)]

    def _of_gate(
        self, gate: SubscriptionTopology, tails: Mapping[Lane, Tail], unreadable: Unreadable
    ) -> Iterator[GatedLane]:
        standing = self._ports.ledger.standing(self._name, SubscriptionName(gate.state_name))
        calls = [
            partial(self._looked_at, gate, standing, lane, tails.get(lane, EMPTY_TAIL), granted)
            for lane, granted in self._grants(gate, tails).items()
        ]
        for seen in results_of(calls, self._side_by_side):
            if isinstance(seen, UndecodableItemError):
                unreadable(seen)
            else:
                yield self._explained(seen) if seen.is_short else seen

    def _grants(self, gate: SubscriptionTopology, tails: Mapping[Lane, Tail]) -> dict[Lane, SequenceNumber]:
        """Return what a gate grants in each lane, as producers see it. After the tails, since grants only grow.

        Nothing in lanes that were split, to which nobody appends.
        """
        ended = {lane for lane, tail in tails.items() if tail.is_sealed}
        lanes = dict.fromkeys([*lanes_of(self._stream), *tails])
        is_everywhere, name = gate.definition.deliver == "everywhere", SubscriptionName(gate.state_name)
        grants: dict[Lane, SequenceNumber] = {}
        for origin in map(Region, self._stream.definition.regions):
            of_origin = [lane for lane in lanes if lane.origin == origin and lane not in ended]
            for part in dict.fromkeys(map(credit_part, of_origin)):
                granted = self._ports.credits.granted(self._name, name, origin, part=part)
                by_number = greatest(granted, only=origin if is_everywhere else None)
                grants |= {
                    lane: by_number[lane.number]
                    for lane in of_origin
                    if lane.number in by_number and credit_part(lane) == part
                }
        return grants

    def _looked_at(
        self,
        gate: SubscriptionTopology,
        standing: Standing,
        lane: Lane,
        tail: Tail,
        granted: SequenceNumber,
    ) -> GatedLane | UndecodableItemError:
        """Return how a lane stands for a gate, or why it cannot be read."""
        owner = owner_of(gate, lane.origin, standing)
        region = lane.origin if owner is None else owner.region
        ledger = ledger_of(self._ports.ledger, gate, lane.origin)
        key = LaneKey(self._name, SubscriptionName(gate.state_name), lane)
        try:
            state = ledger.state(key, glance=True)
        except UndecodableItemError as error:
            return error
        home = region if gate.home(lane.origin) is None else ledger.region
        cursor = state.cursor(region_that_counts(gate, state, owner, region=home))
        return GatedLane(gate, lane, region, tail, granted, cursor)

    def _explained(self, seen: GatedLane) -> GatedLane:
        """Say why a lane that is short is granted nothing more, and since when it has been short."""
        since_ms, why = min(to_ms(seen.tail.time), self._ports.clock.now_ms()), Why.NO_ANSWER
        if seen.region not in self.unanswered:
            try:
                why = _why(seen, self._standing_in(seen.region, seen.subscription))
                since_ms = self._marks_in(seen.region, seen.lane).of(seen.lane.number).short_ms or since_ms
            except PortError as error:
                if seen.region == self._region:
                    raise
                self.unanswered[seen.region], why = str(error), Why.NO_ANSWER
        return replace(seen, why=why, since_ms=since_ms)

    def _standing_in(self, region: Region, gate: SubscriptionTopology) -> Standing:
        """Return the standing of a gate in the Region that delivers, whose circuit counts. One read for all lanes."""
        if (region, gate.name) not in self._standings:
            ledger = self._ports_in(region).ledger
            standing = ledger.standing(self._name, SubscriptionName(gate.state_name))
            self._standings[region, gate.name] = standing
        return self._standings[region, gate.name]

    def _marks_in(self, region: Region, lane: Lane) -> Marks:
        """Return the marks of the Region whose passes look after a lane. One read for all lanes of a part."""
        place = region, marked_as(lane), part_of(lane.number)
        if place not in self._marks:
            self._marks[place] = self._ports_in(region).ledger.marks(self._name, place[1], part=place[2])
        return self._marks[place]

    def _ports_in(self, region: Region) -> Ports:
        return self._ports if region == self._region else self._ports.at(region)

    def openings(self, seconds: int, *, unreadable: Unreadable = insist) -> list[Opening]:
        """List by how much each gated lane would be granted more, to last for that time. Nothing is granted yet.

        That is what the lane delivered at its best lately, for so long, beyond its end; as much as it may always be
        ahead, at least. `unreadable`: as for `lanes`. SettingError: the time is out of its bounds. PortError.
        """
        if not OPEN_SECONDS_MIN <= seconds <= OPEN_SECONDS_MAX:
            allowed = f"{OPEN_SECONDS_MIN} to {OPEN_SECONDS_MAX:,} seconds"
            raise SettingError("time", f"{seconds} seconds", allowed)
        return [Opening(seen, _opened(seen, seconds)) for seen in self.lanes(unreadable=unreadable)]

    def open(self, openings: Iterable[Opening], *, advance: Callable[[], None] = lambda: None) -> int:
        """Grant what was planned, lane by lane. Return the number of lanes that are granted more. PortError.

        It is written in this Region, whose producers see it at once and others by replication, and in that which
        delivers the lane, if it answers: its function goes on from there. Where each Region delivers for itself, only
        that Region's counts, and if it does not answer, the lane stays as it is. `unanswered` says who did not.

        `advance`: told after each lane.
        """
        opened = 0
        for opening in openings:
            opened += bool(opening.more) and self._open(opening)
            advance()
        return opened

    def _open(self, opening: Opening) -> bool:
        """Grant a lane more. Tell if that counts for anybody."""
        seen = opening.gated
        key = LaneKey(self._name, SubscriptionName(seen.subscription.state_name), seen.lane)
        is_shared = seen.region == self._region or seen.subscription.definition.deliver != "everywhere"
        if is_shared:
            self._ports.credits.grant(key, opening.granted)
        if seen.region != self._region and seen.region not in self.unanswered:
            try:
                self._ports.at(seen.region).credits.grant(key, opening.granted)
            except PortError as error:
                self.unanswered[seen.region] = str(error)
                return is_shared
        return is_shared or seen.region not in self.unanswered


def _why(seen: GatedLane, standing: Standing) -> Why:
    """Say why nothing more is granted in a lane that is short."""
    settings = seen.subscription.definition.backpressure
    assert settings is not None, "only gates are asked"
    if standing.circuit.state is CircuitState.PAUSED:
        return Why.PAUSED if settings.while_paused is WhilePaused.HOLD else Why.PAUSED_RUNG
    if standing.circuit.state is CircuitState.OPEN:
        return Why.CIRCUIT_OPEN
    if not seen.waiting:
        return Why.IDLE
    return Why.REPLAYED if seen.cursor.is_replaying else Why.BEHIND


def _opened(seen: GatedLane, seconds: int) -> SequenceNumber:
    """Return how far a lane is granted for so many seconds of its best, from its end on."""
    settings, account = seen.subscription.definition.backpressure, seen.cursor.credit
    assert settings is not None, "only gates are opened"
    best = 0.0 if account is None else account.best
    return SequenceNumber(seen.tail.sequence + max(settings.events_min, int(best * seconds)))


def gates_of(topology: Topology, stream: StreamTopology) -> list[SubscriptionTopology]:
    """List the subscriptions that hold a stream's producers back, by what is declared. Errors as DeclaredTopology."""
    if not isinstance(topology, DeclaredTopology):
        return list(topology.stream(stream.name).gating)
    every = topology.subscriptions_of(stream)
    return [own for own in every if _is_gate(own) and topology.state_of(own) in (State.ACTIVE, None)]


def gate_named(topology: Topology, name: str) -> SubscriptionTopology:
    """Return the subscription of that name. UnknownNameError: there is none. SettingError: it holds nobody back."""
    gate = delivered_subscription(topology, name)
    if not _is_gate(gate):
        raise SettingError("subscription", f"{name}, which holds nobody back", "one with `backpressure`")
    return gate


def _is_gate(subscription: SubscriptionTopology) -> bool:
    return subscription.definition.backpressure is not None
