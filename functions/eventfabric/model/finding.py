"""Findings of reconciliation, and what is done about each."""

from dataclasses import dataclass
from enum import StrEnum

from eventfabric.model.identity import Lane, Region, SequenceNumber, StreamName, SubscriptionName


class FindingKind(StrEnum):
    """The closed list of findings."""

    REPLICATION_DELAY = "replication_delay"
    """A replica is behind its origin, and moving. Nothing is done: a metric."""
    REPLICATION_STALL = "replication_stall"
    """A replica is behind its origin, and does not move. Repair: copied from the origin."""
    REPLICATION_SILENT = "replication_silent"
    """A stalled replica was copied, and replication has brought nothing since. Nothing is left to do: a metric."""
    CLOCK_AHEAD = "clock_ahead"
    """A producer's clock is ahead, and with it the lane's time. Ages are told by the Region's own clock meanwhile."""
    UNREACHABLE = "unreachable"
    """Another Region does not answer, so nothing was compared with it. A metric: it is not this Region's fault."""
    HOLE = "hole"
    """Records stand after a missing one, for longer than replication takes. Repair: copied from the origin."""
    FAR_TAIL = "far_tail"
    """An item stands far beyond the lane's end; nothing leads to it. Never repaired by itself: set aside by hand."""
    DIVERGENCE = "divergence"
    """A record is not what its chain, or its origin, says. Its lane stops there; never repaired by itself."""
    UNREADABLE = "unreadable"
    """A record or item of state has a form that no version writes. Its lane stops there; never repaired by itself."""
    UNRUNG = "unrung"
    """Events wait, and nothing moves the cursor. Repair: the lane is rung."""
    PARKED_OVERDUE = "parked_overdue"
    """A parked key is past the time of its next attempt. Repair: the lane is rung."""
    DEAD = "dead"
    """Dead letters wait for an operator. A metric."""
    CURSOR_AHEAD = "cursor_ahead"
    """A cursor stands beyond the end of its lane: events appended there would be skipped. Never repaired by itself."""
    CURSOR_BACK = "cursor_back"
    """A cursor stands before its earlier place, and nobody replays: events are handled again."""
    CURSOR_BROKEN = "cursor_broken"
    """A cursor's chain is not the log's at its place: the log before it is not what was handled."""
    PARKED_DIFFERS = "parked_differs"
    """A cursor names other parked keys than there are. Repair: it is corrected, if every key that it names is there."""
    EPOCH_AHEAD = "epoch_ahead"
    """A lane was written with an epoch above every handover: nobody delivers it. Repaired by handing its lanes over."""
    STALE_OWNER = "stale_owner"
    """A Region went on with lanes that were handed over to another one. It stops when it sees that."""
    EXPIRES_SOON = "expires_soon"
    """Records that nobody has handled yet are about to expire."""
    EXPIRED_UNREAD = "expired_unread"
    """Records expired before they were handled. The lane halts, or they are skipped as a repair: see `on_expired`."""
    HOT_LANE = "hot_lane"
    """A lane gets so much that its partition comes near its bound. Nothing is done by itself: a metric."""
    HOT_KEY = "hot_key"
    """A lane is hot, and most of it is of one key, so that splitting the lane does not help. A metric."""
    ABANDONED = "abandoned"
    """A subscription has something left where it is not deployed any more, and nobody has retired it."""


_METRICS = frozenset(
    {
        FindingKind.REPLICATION_DELAY,
        FindingKind.REPLICATION_SILENT,
        FindingKind.UNREACHABLE,
        FindingKind.DEAD,
        FindingKind.HOT_LANE,
        FindingKind.HOT_KEY,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about one lane, as one Region sees it. `subscription`: None if the finding is about the log."""

    kind: FindingKind
    stream: StreamName
    lane: Lane
    region: Region
    sequence: SequenceNumber
    detail: str
    subscription: SubscriptionName | None = None
    is_repaired: bool = False

    @property
    def is_alarm(self) -> bool:
        """Tell if somebody must look at it: it is more than a metric, and was not repaired."""
        return self.kind not in _METRICS and not self.is_repaired
