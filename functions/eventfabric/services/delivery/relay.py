"""Relay: turn what a table's stream shows into doorbells. Trusts no order, carries no events, fails on no content."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from logging import getLogger
from typing import Final, Protocol
from zlib import crc32

from eventfabric import limits
from eventfabric.deadline import call_within
from eventfabric.errors import FormatError, PortError, UndecodableItemError
from eventfabric.model import Doorbell, Lane, Region, SequenceNumber, Standing, StreamName
from eventfabric.ports import Ports
from eventfabric.services.delivery.ringer import CALLS_SECONDS, Ringer, Rung
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another
from eventfabric.services.delivery.worth import Worth
from eventfabric.services.lanes.standing import Standings, is_delivered_by
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.telemetry import LogEvent, Metric, Telemetry
from eventfabric.wire.stream_record import RecordNews

_log = getLogger(__name__)

PARALLEL_QUEUES: Final = 2 * limits.PUBLISHER_PARALLEL_LANES
"""Queues that are rung at the same time: as many as a client has connections."""


class Rings(Protocol):
    """The catalogue, as far as it says for which subscriptions doorbells are rung."""

    def rung(self, stream: StreamTopology) -> Sequence[SubscriptionTopology]:
        """Return the subscriptions for which doorbells are rung. PortError, EventFabricError if it cannot be read."""
        ...

    def forget(self, stream: StreamTopology) -> None:
        """Have it read anew, because it seems to be out of date."""
        ...


class Relay:
    """Relay of one stream in one Region, with what one process remembers of the subscriptions' queues."""

    def __init__(
        self,
        stream: StreamTopology,
        *,
        region: Region,
        ports: Ports,
        telemetry: Telemetry,
        side_by_side: SideBySide = one_after_another,
        catalogue: Rings | None = None,
    ) -> None:
        """`side_by_side`: rings several queues at the same time. `catalogue`: None: the definition's are rung."""
        self._stream = stream
        self._region = region
        self._ports = ports
        self._telemetry = telemetry
        self._side_by_side = side_by_side
        self._catalogue = catalogue
        self._is_outdated = False
        self._subscribed = self._subscribe({}, stream.subscriptions)

    def ring(self, appended: Iterable[RecordNews]) -> str | None:
        """Ring each subscription once for each lane whose origin this Region owns, if a record there is worth a ring.

        That is for the highest tail of these records. All subscriptions are rung at the same time. What a queue does
        not take is rung by a timer, or else left to reconciliation. Return the position from which the stream must come
        again, because a subscription's queues take nothing, and that began a moment ago; else None. It is harmless to
        ring again what was rung.

        A replica may receive a record after those that continue it. By then the doorbell for the highest tail may have
        been rung and answered in vain. `again` tells the new doorbell from it, by the tails for which it stands.
        """
        changes = list(appended)
        self._subscribed = self._subscribe(self._subscribed, self._rung())
        outcomes: dict[str, Rung] = {}

        def ring(subscribed: _Subscribed) -> None:
            name = subscribed.ringer.subscription
            try:
                outcomes[name] = subscribed.ring(changes, self._stream, chooses=not self._is_outdated)
            except Exception:  # whatever it is, it must not hold up the shard of all other subscriptions
                _log.exception("doorbells of %s are left to reconciliation", name)
                outcomes[name] = Rung(left=_bells(changes, self._stream, self._region))

        self._side_by_side([partial(ring, subscribed) for subscribed in self._subscribed.values()])
        for name, outcome in outcomes.items():
            self._tell(name, outcome)
        # That holds up the shard, so it must not go on for long.
        held = [name for name, own in self._subscribed.items() if own.ringer.is_newly_failing]
        left = {bell.lane for name in held for bell in outcomes[name].left}
        return next((change.position for change in changes if change.lane in left), None)

    def _subscribe(
        self, known: Mapping[str, "_Subscribed"], rung: Iterable[SubscriptionTopology]
    ) -> "dict[str, _Subscribed]":
        """Return what is known of these subscriptions, by name; nothing yet, of those that are new or have changed."""
        names = {own.name for own in self._stream.subscriptions}
        return {
            own.name: known[own.name]
            if own.name in known and known[own.name].subscription == own
            else _Subscribed.of(own, self._region, self._ports, drops=own.name not in names)
            for own in rung
        }

    def _rung(self) -> Sequence[SubscriptionTopology]:
        """Return the subscriptions that are rung for: by the definition, as long as the catalogue cannot be read.

        A relay of an earlier version than the stream requires cannot tell who wants a record, so it rings for each.
        """
        self._is_outdated = False
        if self._catalogue is None:
            return self._stream.subscriptions
        try:
            return call_within(CALLS_SECONDS, self._catalogue.rung, self._stream)
        except Exception as error:  # whatever is declared, it must not hold up the shard of all subscriptions
            self._is_outdated = isinstance(error, FormatError)
            _log.error("what is declared of %s cannot be read: %s", self._stream.name, error)
            return self._stream.subscriptions

    def _tell(self, name: str, outcome: Rung) -> None:
        """Report what became of a subscription's doorbells."""
        if self._catalogue is not None and outcome.left and self._subscribed[name].ringer.drops:
            self._catalogue.forget(self._stream)  # its queue may be gone
        self._telemetry.add(Metric.DOORBELLS_RUNG, len(outcome.rung), of=self._stream.name)
        self._telemetry.add(Metric.DOORBELLS_FAILED, outcome.refused, of=self._stream.name)
        if outcome.refused:
            self._telemetry.tell(
                LogEvent.DOORBELLS_REFUSED,
                subscription=name,
                put_off=len(outcome.put_off),
                left=len(outcome.left),
            )


@dataclass(frozen=True, slots=True)
class _Subscribed:
    """A subscription, and what one process knows of it."""

    subscription: SubscriptionTopology
    standings: Standings
    ringer: Ringer
    worth: Worth
    region: Region

    @classmethod
    def of(
        cls, subscription: SubscriptionTopology, region: Region, ports: Ports, *, drops: bool
    ) -> "_Subscribed":
        standings = Standings.of(subscription, ports)
        ringer = Ringer(subscription.name, ports.doorbells, ports.clock, drops=drops)
        worth = Worth(subscription, region=region, clock=ports.clock)
        return cls(subscription, standings, ringer, worth, region)

    def ring(self, changes: Sequence[RecordNews], stream: StreamTopology, *, chooses: bool) -> Rung:
        """Ring for what is worth it, in the lanes that this Region delivers. The standing is read once at most.

        `chooses`: False if nobody can tell here what is worth it.
        """
        standing = cache(self._standing)
        worth = self.worth.of(changes, standing) if chooses else changes
        bells = _bells(worth, stream, self.region)
        return self.ringer.ring([bell for bell in bells if self._owns(bell.lane.origin, standing)])

    def _owns(self, origin: Region, standing: Callable[[], Standing | None]) -> bool:
        """Tell if this Region must ring for an origin's lanes. It always rings for its own: their function knows."""
        if self.subscription.delivers(origin, self.region):
            return True
        known = standing()
        # A ring that was not needed costs a read; one that was needed and not sent costs more.
        return known is None or is_delivered_by(self.region, self.subscription, origin, known)

    def _standing(self) -> Standing | None:
        """Return the subscription's standing; None if it cannot be read in time."""
        try:
            return call_within(CALLS_SECONDS, self.standings.now)
        except (PortError, UndecodableItemError) as error:
            name = self.ringer.subscription
            _log.error("the standing of %s is not known: all of its lanes are rung: %s", name, error)
            return None


def _bells(changes: Iterable[RecordNews], stream: StreamTopology, region: Region) -> list[Doorbell]:
    """Make a doorbell for each lane."""
    # DynamoDB orders a stream for each item only, so nothing but the highest tail of a lane counts.
    tails = defaultdict[Lane, set[SequenceNumber]](set)
    for change in changes:
        tails[change.lane].add(change.tail)
    name = StreamName(stream.name)
    return [
        Doorbell(name, lane, max(lane_tails), again=0 if lane.origin == region else _again(lane_tails))
        for lane, lane_tails in tails.items()
    ]


def _again(tails: set[SequenceNumber]) -> int:
    """Return a number made of these tails; 0 for a single one, because the doorbell itself names that."""
    return crc32(repr(sorted(tails)).encode()) if len(tails) > 1 else 0
