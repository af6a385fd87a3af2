"""Survey: list where every lane stands for a subscription, and ring again for those that lag. Repairs nothing else."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from eventfabric.errors import UndecodableItemError
from eventfabric.model import (
    EMPTY_TAIL,
    Cursor,
    Doorbell,
    Lane,
    LaneKey,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionFilter,
    SubscriptionName,
    Tail,
    tail_behind,
)
from eventfabric.ports import Doorbells, Ledger, Log, insist
from eventfabric.services.lanes.splits import Unreadable
from eventfabric.services.lanes.standing import is_delivered_by, ledger_of
from eventfabric.services.lanes.unwanted import UnwantedRecords, begun_at
from eventfabric.stream_topology import SubscriptionTopology

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """One lane for one subscription: the log ends at `tail`, and `cursor` is next to be delivered.

    `ahead`: the cursor behind all records that hold nothing wanted.
    """

    subscription: SubscriptionTopology
    lane: Lane
    tail: Tail
    cursor: Cursor
    ahead: Cursor

    @property
    def lag(self) -> int:
        """Number of events that are in the log and not yet delivered, from the first one on that may be wanted."""
        return max(0, self.tail.sequence - self.ahead.sequence)


def survey(
    subscription: SubscriptionTopology,
    tails: Mapping[Lane, Tail],
    *,
    log: Log,
    ledger: Ledger,
    standing: Standing,
    unreadable: Unreadable = insist,
) -> Iterator[LaneStanding]:
    """Yield how lanes stand that the ledger's Region delivers for a subscription, by its standing.

    `tails`: with each lane that was split off, its parent's, too.

    One read a lane, and where a cursor is behind, of a subscription that does not want everything, those of what it is
    behind.

    `unreadable`: told of each lane that cannot be read, which is left out; default: raise that error.
    """
    name = SubscriptionName(subscription.state_name)
    subscription_filter = SubscriptionFilter.of(subscription.definition)
    for lane, tail in tails.items():
        start = EMPTY_TAIL if lane.is_root else tail_behind(tails[lane.parent])
        if is_delivered_by(ledger.region, subscription, lane.origin, standing):
            key = LaneKey(StreamName(subscription.definition.stream), name, lane)
            lane_ledger = ledger_of(ledger, subscription, lane.origin)
            try:
                cursor = begun_at(start, lane_ledger.state(key).cursor(lane_ledger.region))
            except UndecodableItemError as error:
                unreadable(error)
                continue
            # What the subscription does not want is no lag, however many records that are.
            ahead = UnwantedRecords(log, lane).ahead(cursor, subscription_filter, until=tail.sequence)
            yield LaneStanding(subscription, lane, tail, cursor, ahead)


def ring_again(standings: Iterable[LaneStanding], *, doorbells: Doorbells, now_ms: int) -> list[LaneStanding]:
    """Ring for every lane that lags. Return those that were rung.

    The minute is part of the deduplication id, so that the queue does not take this ring for the one that was lost.
    """
    rung: list[LaneStanding] = []
    for standing in standings:
        # A lane that is handled to its end is not rung: the ring would start a function for nothing.
        if standing.lag:
            doorbell = Doorbell(
                StreamName(standing.subscription.definition.stream),
                standing.lane,
                SequenceNumber(standing.tail.sequence),
                again=now_ms // _MINUTE_MS,
            )
            # A queue that refuses is not asked again here: the next survey finds the lane as it is.
            if not doorbells.ring(standing.subscription.name, [doorbell]):
                rung.append(standing)
    return rung
