"""Checked lane: the result for one lane in one pass of reconciliation."""

from dataclasses import dataclass, field

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model import (
    Lane,
    Mark,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    Tail,
    tail_behind,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.reconciliation.beneath import Beneath, PassedHere
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.services.reconciliation.watch import Bells
from eventfabric.stream_topology import SubscriptionTopology


@dataclass
class CheckedLane:
    """The result for a lane: its mark from now on, and what the pass reports, counts and rings."""

    lane: Lane
    mark: Mark
    vitals: Vitals
    findings: list[Finding] = field(default_factory=list)
    bells: Bells = field(default_factory=Bells)
    is_silent: bool = False
    """True if nothing has come by replication since the lane stalled."""
    moves: bool = False
    """True if more came to the lane than was copied."""
    tail: Tail | None = None
    """Where the lane ends; None: that is not known, or not all of it was checked."""
    waiting: set[str] = field(default_factory=set, repr=False)
    """Subscriptions that have events of it to deliver, or of which nobody knows."""
    passed: PassedHere = field(default_factory=PassedHere)

    @property
    def beneath(self) -> Beneath | None:
        """The place of the lanes into which this one was split; None: it was not, as far as is known."""
        is_split = self.tail is not None and self.tail.is_sealed
        return Beneath(tail_behind(self.tail), self.passed.passed) if self.tail and is_split else None


def unreadable(
    stream: StreamName,
    region: Region,
    lane: Lane,
    error: LogError | UndecodableItemError,
    subscription: SubscriptionTopology | None = None,
) -> Finding:
    """Return the finding that something of a lane cannot be read. The pass goes on with the next lane."""
    sequence = SequenceNumber(max(0, error.sequence) if isinstance(error, LogError) else 0)
    name = None if subscription is None else SubscriptionName(subscription.name)
    return Finding(FindingKind.UNREADABLE, stream, lane, region, sequence, str(error), name)
