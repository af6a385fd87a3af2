"""Survey: where every lane stands for a subscription, and another ring for those that lag. Repairs nothing else."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model.cursor import Cursor, LaneKey
from eventfabric.model.identity import (
    GENERATION_FIRST,
    Lane,
    LaneIndex,
    Region,
    Sequence,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.owner import Standing
from eventfabric.model.record import EMPTY_TAIL, Tail
from eventfabric.ports import Doorbells, Ledger, Log, insist
from eventfabric.services.lane_end import believed_tail
from eventfabric.services.standing import is_delivered_by, ledger_of
from eventfabric.topology import StreamTopology, SubscriptionTopology
from eventfabric.wire.doorbell import Doorbell

_MINUTE_MS = 60_000
Unreadable = Callable[[LogError | UndecodableItemError], None]


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """One lane for one subscription: the log ends at `tail`, `cursor` is next to be delivered."""

    subscription: SubscriptionTopology
    lane: Lane
    tail: Tail
    cursor: Cursor

    @property
    def lag(self) -> int:
        """Events that are in the log and not yet delivered."""
        return max(0, self.tail.sequence - self.cursor.sequence)


def lanes_of(stream: StreamTopology) -> list[Lane]:
    """Every lane that a stream can have, origin by origin."""
    return [
        Lane(Region(origin), GENERATION_FIRST, LaneIndex(index))
        for origin in stream.definition.regions
        for index in range(stream.definition.lanes)
    ]


def tails_of(
    log: Log, lanes: Iterable[Lane], *, now_ms: int, unreadable: Unreadable = insist
) -> dict[Lane, Tail]:
    """The tails of the lanes that have events, as this Region's log shows them: one read a lane.

    `unreadable`: told of each lane that cannot be read, which is left out; default: raise that.
    """
    tails: dict[Lane, Tail] = {}
    for lane in lanes:
        try:
            tail = believed_tail(log, lane, past=EMPTY_TAIL.sequence, now_ms=now_ms)
        except LogError as error:
            unreadable(error)
            continue
        if tail != EMPTY_TAIL:
            tails[lane] = tail
    return tails


def survey(
    subscription: SubscriptionTopology,
    tails: Mapping[Lane, Tail],
    *,
    ledger: Ledger,
    standing: Standing,
    unreadable: Unreadable = insist,
) -> Iterator[LaneStanding]:
    """Where the lanes stand that the ledger's Region delivers for a subscription, by its standing: one read a lane.

    `unreadable`: told of each lane that cannot be read, which is left out; default: raise that.
    """
    name = SubscriptionName(subscription.name)
    for lane, tail in tails.items():
        if is_delivered_by(ledger.region, subscription, lane.origin, standing):
            key = LaneKey(StreamName(subscription.definition.stream), name, lane)
            of = ledger_of(ledger, subscription, lane.origin)
            try:
                cursor = of.state(key).cursor(of.region)
            except UndecodableItemError as error:
                unreadable(error)
                continue
            yield LaneStanding(subscription, lane, tail, cursor)


def ring_again(standings: Iterable[LaneStanding], *, doorbells: Doorbells, now_ms: int) -> list[LaneStanding]:
    """Ring for every lane that lags; returns those that were rung.

    The minute is part of the deduplication id, so that the queue does not take this ring for the one that was lost.
    """
    rung: list[LaneStanding] = []
    for standing in standings:
        if standing.lag:
            doorbell = Doorbell(
                StreamName(standing.subscription.definition.stream),
                standing.lane,
                Sequence(standing.tail.sequence),
                again=now_ms // _MINUTE_MS,
            )
            if not doorbells.ring(standing.subscription.name, [doorbell]):
                rung.append(standing)
    return rung
