"""Parked keys: what a subscription has set aside, retrying or dead, lane by lane. One read for each lane."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model import Lane, LaneKey, Parked, Standing, StreamName, SubscriptionName
from eventfabric.ports import Clock, Ledger, Log, insist
from eventfabric.services.delivery.takeover import parked_for
from eventfabric.services.lanes.standing import is_delivered_by, ledger_of, owner_of
from eventfabric.services.lanes.tails import Unreadable
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.stream_topology import SubscriptionTopology


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """One parked key, and its lane."""

    lane: Lane
    parked: Parked

    @property
    def place(self) -> str:
        """Place of its first event: `<lane>@<sequence>`."""
        return f"{self.lane}@{self.parked.first.sequence}"


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
    stream, name = StreamName(subscription.definition.stream), SubscriptionName(subscription.state_name)
    for lane in lanes:
        if is_delivered_by(ledger.region, subscription, lane.origin, standing):
            key, lane_ledger = LaneKey(stream, name, lane), ledger_of(ledger, subscription, lane.origin)
            owner = owner_of(subscription, lane.origin, standing)
            try:
                state, now_ms = whole_state(lane_ledger, key, clock=clock), clock.now_ms()
                parked = parked_for(
                    key,
                    state,
                    owner,
                    subscription=subscription,
                    region=lane_ledger.region,
                    log=log,
                    now_ms=now_ms,
                )
            except (LogError, UndecodableItemError) as error:
                unreadable(error)
                continue
            for parked_key in sorted(parked.values(), key=lambda waiting: waiting.first.sequence):
                yield ParkedKey(lane, parked_key)
