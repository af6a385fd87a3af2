"""Parked keys: what a subscription has set aside, retrying or dead, lane by lane. One read for each lane.

Where a lane was split, they are with its children, also if the events that wait stand in the lane itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model import Lane, Parked, Standing
from eventfabric.ports import Clock, Ledger, Log, insist
from eventfabric.services.delivery.state_reader import reader_of
from eventfabric.services.delivery.takeover import parked_for
from eventfabric.services.lanes.begun import BegunLane, LaneReader, begun_lanes
from eventfabric.services.lanes.splits import Unreadable
from eventfabric.services.lanes.standing import is_delivered_by, owner_of
from eventfabric.stream_topology import SubscriptionTopology


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """One parked key, and the lane that delivers it."""

    lane: Lane
    parked: Parked

    @property
    def place(self) -> str:
        """Place of its first event: `<lane>@<sequence>`."""
        return f"{self.parked.first.lane or self.lane}@{self.parked.first.sequence}"


def parked_keys(
    subscription: SubscriptionTopology,
    lanes: Iterable[Lane],
    *,
    ledger: Ledger,
    log: Log,
    standing: Standing,
    clock: Clock,
    unreadable: Unreadable = insist,
) -> Iterator[ParkedKey]:
    """Yield the parked keys of the lanes that the ledger's Region delivers, lane by lane, in the order of the log.

    If a lane was handed over and not taken over yet, these are the keys with which this Region will go on.
    `unreadable`: told of each lane that cannot be read, which is left out; default: raise that error.
    """
    for lane in lanes:
        if not is_delivered_by(ledger.region, subscription, lane.origin, standing):
            continue
        owner = owner_of(subscription, lane.origin, standing)
        reader = reader_of(subscription, lane.origin, owner, ledger=ledger, clock=clock)
        for begun in begun_lanes(reader, lane, unreadable=unreadable):
            try:
                parked = _parked(begun, reader, subscription, log=log, now_ms=clock.now_ms())
            except (LogError, UndecodableItemError) as error:
                unreadable(error)
                continue
            for parked_key in sorted(parked.values(), key=lambda waiting: waiting.first.sequence):
                yield ParkedKey(begun.lane, parked_key)


def _parked(
    begun: BegunLane, reader: LaneReader, subscription: SubscriptionTopology, *, log: Log, now_ms: int
) -> Mapping[str, Parked]:
    if begun.is_past_seal or not begun.lane.is_root:
        return begun.parked
    region, owner = reader.region, reader.owner
    return parked_for(
        begun.key, begun.state, owner, subscription=subscription, region=region, log=log, now_ms=now_ms
    )
