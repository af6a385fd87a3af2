"""Owns what reconciliation can find, and what is done about it."""

from dataclasses import dataclass
from enum import StrEnum

from eventfabric.model.identity import Lane, Region, Sequence, StreamName, SubscriptionName


class FindingKind(StrEnum):
    """The closed list of findings."""

    REPLICATION_DELAY = "replication_delay"
    """A replica is behind its origin, and moving. Nothing is done: a metric."""
    REPLICATION_STALL = "replication_stall"
    """A replica is behind its origin, and does not move. Repair: copied from the origin."""
    REPLICATION_SILENT = "replication_silent"
    """A stalled replica was copied, and replication has brought nothing since. Nothing is left to do: a metric."""
    CLOCK_AHEAD = "clock_ahead"
    """A producer's clock is ahead, and the lane's time with it: ages are told by the Region's own clock meanwhile."""
    UNREACHABLE = "unreachable"
    """Another Region does not answer, so nothing was compared with it. A metric: it is not this Region's fault."""
    HOLE = "hole"
    """Records stand behind one that is missing, for longer than replication takes. Repair: copied from the origin."""
    FAR_TAIL = "far_tail"
    """An item stands far behind the lane's end, and nothing leads to it. Never mended by itself: set aside by hand."""
    DIVERGENCE = "divergence"
    """A record is not what its chain, or its origin, says. Its lane stops there; never mended by itself."""
    UNREADABLE = "unreadable"
    """An item is not as any version writes it: a record, or state. Its lane stops there; never mended by itself."""
    UNRUNG = "unrung"
    """Events wait, and nothing moves the cursor. Repair: rung."""
    PARKED_OVERDUE = "parked_overdue"
    """A parked key should have been tried again. Repair: rung."""
    DEAD = "dead"
    """Dead letters wait for somebody. A metric."""
    CURSOR_AHEAD = "cursor_ahead"
    """A cursor stands beyond the end of its lane: whatever comes there would be skipped. Never mended by itself."""
    CURSOR_BACK = "cursor_back"
    """A cursor stands before where it stood, and nobody replays: events are handled again."""
    CURSOR_BROKEN = "cursor_broken"
    """A cursor's chain is not the log's where it stands: what is before it is not what was handled."""
    PARKED_DIFFERS = "parked_differs"
    """A cursor says that other keys are parked than are. Repair: it says what is there, if all that it names is."""
    EPOCH_AHEAD = "epoch_ahead"
    """A lane was written with an epoch above every handover: nobody delivers it. Mended by handing its lanes over."""
    STALE_OWNER = "stale_owner"
    """A Region went on with lanes that were handed to another. It stops when it sees that."""
    EXPIRES_SOON = "expires_soon"
    """Records that nobody handled yet are about to expire."""
    EXPIRED_UNREAD = "expired_unread"
    """Records expired before they were handled. Halts, or repair: skipped, as the subscription says."""


_METRICS = frozenset(
    {
        FindingKind.REPLICATION_DELAY,
        FindingKind.REPLICATION_SILENT,
        FindingKind.UNREACHABLE,
        FindingKind.DEAD,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about one lane, as one Region sees it; `subscription`: None where it is the log's."""

    kind: FindingKind
    stream: StreamName
    lane: Lane
    region: Region
    sequence: Sequence
    detail: str
    subscription: SubscriptionName | None = None
    is_repaired: bool = False

    @property
    def is_alarm(self) -> bool:
        """Whether somebody is to look: it is no mere metric, and was not repaired."""
        return self.kind not in _METRICS and not self.is_repaired
