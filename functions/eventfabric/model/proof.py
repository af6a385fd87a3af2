"""Proofs: from where to where in a lane the log is what was handled, and with which exceptions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from eventfabric.model.cursor import Cursor
from eventfabric.model.finding import Finding
from eventfabric.model.identity import (
    DeclarationLane,
    Lane,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)

_NONE: Final = SequenceNumber(0)


class ExceptionKind(StrEnum):
    """Reason why an event before the cursor was not handled as it stands in the log."""

    PARKED = "parked"
    """The event failed, and will be tried again."""
    DEAD = "dead"
    """The event failed for good, or used up its attempts, and waits for an operator."""
    WAITING = "waiting"
    """The event waits behind an earlier event of its key that is parked or dead."""
    REPLAYING = "replaying"
    """The event was handed out before, and waits to be handed out again."""
    DISCARDED = "discarded"
    """An operator dropped the event."""
    EDITED = "edited"
    """An operator had another event handled in its place."""
    ELSEWHERE = "elsewhere"
    """The event's batch also stands in another lane, and that copy is the one that is delivered."""
    SKIPPED = "skipped"
    """The event is lost for good, and an operator let the lane go on past it: nobody knows if it was handled."""


@dataclass(frozen=True, slots=True)
class Exempt:
    """One event that the proof excepts, or `events` lost events from that sequence on.

    `event_id` and `key` are empty if its record has expired or is lost.

    `at_ms`: when it last failed, was decided about, or began to wait, in milliseconds since 1970; 0: not known.
    `by`: who decided.
    """

    kind: ExceptionKind
    sequence: SequenceNumber
    why: str
    at_ms: int
    event_id: str = ""
    key: str = field(default="", repr=False)
    by: str = ""
    events: int = 1


@dataclass(frozen=True, slots=True)
class ExemptRange:
    """All events of a key from sequence `since` on and before `until`, as the log has them, each excepted like `of`."""

    key: str = field(repr=False)
    since: SequenceNumber
    until: SequenceNumber
    of: Exempt

    def meets(self, start: SequenceNumber, end: SequenceNumber) -> bool:
        """Tell if a sequence from `start` on and before `end` may be excepted."""
        return self.since < end and start < self.until

    def holds(self, key: str, sequence: SequenceNumber) -> bool:
        """Tell if the event of a key at a sequence is excepted."""
        return self.key == key and self.since <= sequence < self.until


@dataclass(frozen=True, slots=True)
class LaneProof:
    """Proof that one subscription handled exactly the log of one lane from `start` to its cursor, as one Region sees
    it.

    `region`: the Region whose cursor it is. `first`: `begins` if the log is kept from its first event on. Otherwise the
    end of the oldest record that is kept: the chain before that record is unknown, so it is taken as it is, and all
    records after it are bound to it and to the cursor. `wrong`: why the log is not what was handled; None: it is, apart
    from the exceptions.
    """

    stream: StreamName
    subscription: SubscriptionName
    lane: Lane
    region: Region
    cursor: Cursor
    first: SequenceNumber
    exceptions: tuple[Exempt, ...] = ()
    wrong: Finding | None = None
    tail: SequenceNumber = _NONE
    """End of the lane when the cursor was looked at."""
    waits_since_ms: int = 0
    """Time since which the first waiting event is there, as far as is known, in ms since 1970; 0: none waits."""
    begins: SequenceNumber = _NONE
    """First sequence of the lane: 0, or where it was split off from another."""
    stuck: Finding | None = None
    """Reason why nothing from the cursor on can be delivered, if the log is in the way."""

    @property
    def is_proven(self) -> bool:
        """Tell if the log is what was handled, as far as it is kept."""
        return self.wrong is None

    @property
    def waiting(self) -> int:
        """Number of events from the cursor on."""
        return max(0, self.tail - self.cursor.sequence)

    @property
    def start(self) -> SequenceNumber:
        """First event that is proven to have been handled: `first`, or where the subscription began in the lane.

        Earlier events were handed to nobody. They are bound by the same chain, and verified all the same.
        """
        return min(max(self.first, self.cursor.began), self.cursor.sequence)

    @property
    def events(self) -> int:
        """Number of events that are proven to have been handled, including exceptions but not skipped events."""
        seals = int(self.cursor.past_seal is not None)  # a seal takes a sequence, and holds no event
        return 0 if self.wrong else max(0, self.cursor.sequence - self.start - self.skipped - seals)

    @property
    def skipped(self) -> int:
        """Number of lost events before the cursor, past which an operator let the lane go on."""
        return sum(
            exception.events for exception in self.exceptions if exception.kind is ExceptionKind.SKIPPED
        )


@dataclass(frozen=True, slots=True)
class DeclarationsProof:
    """Proof that a lane of declarations is unbroken in one Region, and the same as its copies in other Regions.

    `end`: number of its declarations there. `copies`: the number in each other Region, as far as they were compared;
    None: the Region gave no answer. `wrong`: why it is not what was declared.
    """

    stream: StreamName
    lane: DeclarationLane
    region: Region
    end: SequenceNumber
    copies: Mapping[Region, SequenceNumber | None]
    wrong: Finding | None = None

    @property
    def is_proven(self) -> bool:
        """Tell if the lane is what was declared, as far as it has come here."""
        return self.wrong is None
